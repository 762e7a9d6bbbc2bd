"""Exactly once: outcomes and offsets of a partition go out in one transaction.

Every input partition has a transactional producer of its own, named by group, topic and
partition. Taking a partition over starts that producer, which fences the former owner and
finishes whatever it had open; only then is the committed offset read, so nobody else can move it
any more. (The client commits offsets without a generation, so Kafka's own fencing by group,
KIP-447, is not to be had.) A transaction holds records that are judged already, in input order,
and is never open across inference. Whatever goes wrong in one, its producer is thrown away and
the partition is taken over anew from the committed offset.
"""

import asyncio
import contextlib
import heapq
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from worker.delivery import MOST_BEGUN, Delivery, Takeover
from worker.errors import NotWritten, Retriable
from worker.outcomes import Outcome
from worker.poison import SuspectWindow
from worker.ports import Clock, Source, Transactions, Transactor
from worker.records import CommittedOffset, Partition
from worker.retrying import RetryPolicy
from worker.telemetry import Telemetry

logger = logging.getLogger(__name__)

_SETTLE_SECONDS = 10.0
# a partition that cannot be written is judged again from its committed offset at each attempt:
# seldom, and only so many records before one succeeds
_PATIENT = RetryPolicy(cap_seconds=30.0)
_PROBE_RECORDS = 16


@dataclass(frozen=True, slots=True)
class TransactionPolicy:
    """When the judged prefix of a partition is committed.

    Attributes:
        max_records: so many are committed at once, and no transaction holds more.
        interval_seconds: fewer wait this long for company.
        per_second: how many transactions all partitions together begin, so that many partitions
            have longer waits under load, and not as many more transactions.
    """

    max_records: int = 500
    interval_seconds: float = 0.2
    per_second: float = 50.0


class Pace:
    """How long partitions that have something to commit wait for company."""

    def __init__(self, policy: TransactionPolicy) -> None:
        self._policy = policy
        self._next_turn = 0.0

    def patience(self, now: float) -> float:
        """Seconds that the partition which asks now is to wait; each call takes a turn."""
        self._next_turn = max(self._next_turn, now) + 1 / self._policy.per_second
        return max(self._policy.interval_seconds, self._next_turn - now)


@dataclass(slots=True)
class _Lane:
    """A partition under one epoch: its outcomes that are not committed yet."""

    partition: Partition
    epoch: int
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    ready: int = 0  # outcomes inside the contiguous prefix
    leaving: int = 0  # those of them that a transaction holds
    size_bytes: int = 0
    marks: bool = False  # the metadata is to be written even where the offset stays
    ready_bytes: int = 0
    behind: list[int] = field(default_factory=list)  # offsets past the prefix, a heap
    work: asyncio.Event = field(default_factory=asyncio.Event)
    urgent: asyncio.Event = field(default_factory=asyncio.Event)
    flushes: list[asyncio.Event] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.outcomes[outcome.record.offset] = outcome
        self.size_bytes += outcome.size_bytes
        heapq.heappush(self.behind, outcome.record.offset)

    def reached(self, count: int) -> None:
        """So many more outcomes are inside the contiguous prefix."""
        self.ready += count
        for _ in range(count):
            self.ready_bytes += self.outcomes[heapq.heappop(self.behind)].size_bytes

    def leave(self, end: int, limit: int) -> list[Outcome]:
        """The oldest outcomes before the offset `end`, in input order, for a transaction."""
        offsets = sorted(offset for offset in self.outcomes if offset < end)[:limit]
        self.leaving = len(offsets)
        return [self.outcomes[offset] for offset in offsets]

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            del self.outcomes[outcome.record.offset]
            self.size_bytes -= outcome.size_bytes
            self.ready_bytes -= outcome.size_bytes
        self.ready -= len(outcomes)
        self.leaving = 0

    def flush(self) -> asyncio.Event:
        """Ask for a commit without delay; set when there was one, or can be none."""
        done = asyncio.Event()
        self.flushes.append(done)
        self.work.set()
        self.urgent.set()
        return done

    async def due(self, patience: Callable[[], float]) -> None:
        """Wait until there is something to commit, then as many seconds as `patience` says."""
        await self.work.wait()
        try:
            async with asyncio.timeout(patience()):
                await self.urgent.wait()
        except TimeoutError:
            pass
        self.work.clear()
        self.urgent.clear()


class ExactlyOnce(Delivery):
    """See the module."""

    def __init__(
        self,
        *,
        source: Source,
        transactions: Transactions,
        clock: Clock,
        telemetry: Telemetry,
        group_id: str,
        policy: TransactionPolicy = TransactionPolicy(),
        most_begun: int = MOST_BEGUN,
        retries: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(
            source=source,
            clock=clock,
            telemetry=telemetry,
            most_begun=most_begun,
            retries=retries,
        )
        self._transactions = transactions
        self._group_id = group_id
        self._policy = policy
        self._lanes: dict[Partition, _Lane] = {}
        self._marking: dict[Partition, asyncio.Event] = {}
        self._troubled: dict[Partition, str] = {}
        # how often in a row a topic did not take what a partition wanted to write
        self._refused: Counter[Partition] = Counter()
        self._pace = Pace(policy)

    async def start(self) -> None:
        """See `Delivery`."""
        await self._transactions.start()

    async def stop(self) -> None:
        """See `Delivery`."""
        await self.revoked(list(self._owners))

    def max_bytes(self, topic: str) -> int:
        """See `Delivery`."""
        return self._transactions.max_bytes(topic)

    def trouble(self) -> str | None:
        """See `Delivery`."""
        return next(iter(self._troubled.values()), None)

    def backlog(self, partition: Partition) -> tuple[int, int]:
        """See `Delivery`."""
        lane = self._lanes.get(partition)
        ready, size_bytes = (lane.ready, lane.size_bytes) if lane else (0, 0)
        return self._ledger.tracked(partition) + ready, size_bytes

    def unwritten(self) -> dict[Partition, tuple[int, int]]:
        """See `Delivery`."""
        return {p: (lane.ready, lane.ready_bytes) for p, lane in self._lanes.items() if lane.ready}

    def limits(self) -> dict[Partition, int]:
        """See `Delivery`."""
        judged = {p: len(lane.outcomes) for p, lane in self._lanes.items()}
        return {p: max(_PROBE_RECORDS - judged.get(p, 0), 0) for p in self._refused}

    def hurry(self, partitions: Iterable[Partition]) -> None:
        """See `Delivery`."""
        for partition in partitions:
            lane = self._lanes.get(partition)
            if lane is not None and lane.ready > lane.leaving:
                lane.work.set()
                lane.urgent.set()

    async def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Hand outcomes to the owners of their partitions, who commit the contiguous prefix."""
        for outcome in outcomes:
            record = outcome.record
            lane = self._lanes.get(record.partition)
            tracked = self._ledger.tracked(record.partition)
            if not self._ledger.resolve(record.partition, record.epoch, record.offset):
                self._telemetry.void([outcome])
                continue
            assert lane is not None, "what the ledger holds has a lane"  # noqa: S101
            lane.add(outcome)
            lane.reached(tracked - self._ledger.tracked(record.partition))
            if lane.ready:
                lane.work.set()
            in_need = lane.ready and self._windows[record.partition].is_crowded
            if in_need or lane.ready - lane.leaving >= self._policy.max_records:
                lane.urgent.set()

    async def settle(self, partitions: Collection[Partition] | None = None) -> None:
        """Commit now what is judged, and the position where nothing is left to judge."""
        wanted = list(self._lanes) if partitions is None else partitions
        await self._flush([lane for p in wanted if (lane := self._lanes.get(p)) is not None])

    async def release(self, partitions: Collection[Partition]) -> None:
        """See `Delivery`."""
        # a mark that is being written would look like a death
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                for marking in [self._marking[p] for p in partitions if p in self._marking]:
                    await marking.wait()
        lanes = [lane for p in partitions if (lane := self._lanes.get(p)) is not None]
        for lane in lanes:
            self._windows[lane.partition].close()
            lane.marks = True
        await self._flush(lanes)

    async def suspect(self, partition: Partition, *, begins: bool) -> bool:
        """See `Delivery`."""
        lane, window = self._lanes.get(partition), self.window(partition)
        if lane is None or window is None:
            return False
        window.suspect(begins=begins)
        lane.marks = True
        return await self._flush([lane]) and self._lanes.get(partition) is lane

    async def _flush(self, lanes: Sequence[_Lane]) -> bool:
        """Have these commit at once; whether each has, or can no more."""
        flushes = [lane.flush() for lane in lanes]
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                for done in flushes:
                    await done.wait()
        except TimeoutError:
            logger.warning("Committing takes long; what is not committed will be judged again.")
            return False
        return True

    async def revoked(self, partitions: Collection[Partition]) -> None:
        """See `Delivery`."""
        await super().revoked(partitions)
        for partition in partitions:
            self._troubled.pop(partition, None)
            self._refused.pop(partition, None)
        self._changed()

    async def _own(self, partition: Partition) -> None:
        failures, written = 0, None
        takeover = Takeover()
        while True:
            try:
                async for _ in self._commits(partition, takeover):
                    position = self._ledger.position(partition)
                    has_moved = position != (takeover.offset if written is None else written)
                    if self._refused[partition] and not has_moved:
                        continue  # there was nothing to write: what was refused is judged again
                    if has_moved:
                        # not before: an idle flush proves nothing
                        written, failures = position, 0
                    self._troubled.pop(partition, None)
                    if self._refused.pop(partition, None):
                        self._changed()
            except NotWritten as error:
                failures += 1
                self._refused[partition] += 1
                self._report(partition, error)
                if not await self._lower_limit(error):
                    pause = _PATIENT.pause_seconds(failures, self._uniform())
                    await self._clock.sleep(pause)
            except Retriable as error:
                failures += 1
                self._report(partition, error)
                await self._pause_after(failures)

    def _report(self, partition: Partition, error: Retriable) -> None:
        said = f"{error} {partition} is held back."
        if self._troubled.get(partition) != said:
            logger.warning("%s: %s Taking it over again.", partition, error)
        self._troubled[partition] = said

    async def _lower_limit(self, error: NotWritten) -> bool:
        """Find out what a topic takes that said too large; False where that changes nothing."""
        if error.kind != "too_large" or error.limit is None:
            return False
        await self._transactions.too_large(error.topic, error.limit)
        return self.max_bytes(error.topic) != error.limit

    async def _commits(
        self, partition: Partition, takeover: Takeover
    ) -> AsyncGenerator[None, None]:
        """Take the partition over, then commit what is judged of it; yields after each success.

        Raises:
            Retriable: it must be taken over anew.
        """
        transactor = await self._transactions.open(
            f"{self._group_id}.{partition.topic}.{partition.number}"
        )
        try:
            # not before the former owner is fenced, or the committed offset could still move
            committed = await self._source.locate(partition)
            mark = await self._take_mark(partition, committed, takeover)
            window = SuspectWindow(mark, self._most_begun)
            marked = CommittedOffset(committed.offset, window.mark.encode())
            self._marking[partition] = has_begun = asyncio.Event()
            try:
                if marked != committed:
                    # before anything is begun: a death from now on must be seen by the next owner
                    await transactor.commit([], {partition: marked})
                lane = _Lane(partition, self._begin(partition, committed.offset, window))
                self._lanes[partition] = lane
            finally:
                del self._marking[partition]
                has_begun.set()
            while True:
                await lane.due(lambda: self._pace.patience(self._clock.monotonic()))
                await self._commit(lane, transactor)
                yield
        finally:
            self._source.pause([partition])
            self._forget([partition])
            if (abandoned := self._lanes.pop(partition, None)) is not None:
                self._telemetry.void(list(abandoned.outcomes.values()))
                for done in abandoned.flushes:
                    done.set()
                self._changed()
            await transactor.close()

    async def _commit(self, lane: _Lane, transactor: Transactor) -> None:
        """Commit all that is judged of a partition by now, in bounded transactions.

        What is judged meanwhile waits for company again, or a busy partition would have one small
        transaction after the other.
        """
        partition, flushes, limit = lane.partition, len(lane.flushes), self._policy.max_records
        marks, lane.marks = lane.marks, False
        if flushes:
            await self._advance(partition)
        target = self._ledger.committable([partition]).get(partition)
        end = None
        while target is not None and end != target:
            chosen = lane.leave(target, limit)
            end = target if len(chosen) < limit else chosen[-1].record.offset + 1
            outgoing = [o.outgoing for o in chosen if o.outgoing is not None]
            with self._telemetry.operation("transaction", partition.topic):
                await transactor.commit(outgoing, {partition: self._marked(partition, end)})
            marks = False
            self._committed(partition, lane.epoch, end)
            lane.committed(chosen)
            self._durable(chosen)
        if marks and (offset := self._ledger.position(partition)) is not None:
            await transactor.commit([], {partition: self._marked(partition, offset)})
        for done in lane.flushes[:flushes]:
            done.set()
        del lane.flushes[:flushes]

    def _marked(self, partition: Partition, offset: int) -> CommittedOffset:
        return CommittedOffset(offset, self._windows[partition].mark_at(offset).encode())
