"""Exactly once: outcomes and offsets of a partition go out in one transaction.

Every input partition has its own transactional producer, named by group, topic and partition.
Taking a partition over starts that producer, which fences the former owner and finishes its open
transaction; only then is the committed offset read, so no other worker can move it any more. (The
client commits offsets without a generation, so Kafka's own fencing by group, KIP-447, is not
available.) A transaction holds records that are judged already, in input order, and is never open
across inference. After any failure of a transaction its producer is closed, and the partition is
taken over again from the committed offset.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence

from typing_extensions import override

from worker.delivery.base import MOST_BEGUN, Delivery
from worker.delivery.takeover import Takeover
from worker.delivery.transaction_buffer import PartitionTransactionBuffer
from worker.delivery.transaction_pace import Pace, TransactionPolicy
from worker.domain.errors import NotWritten, Retriable
from worker.domain.outcomes import Outcome
from worker.domain.ports import Clock, Source, Transactions, Transactor
from worker.domain.records import CommittedOffset, Partition
from worker.engine.retry import RetryPolicy
from worker.telemetry import Telemetry

logger = logging.getLogger(__name__)

_SETTLE_SECONDS = 10.0
# a partition that cannot be written is judged again from its committed offset at each attempt:
# seldom, and only so many records before one succeeds
_REFUSED_RETRIES = RetryPolicy(cap_seconds=30.0)
_PROBE_RECORDS = 16


class ExactlyOnce(Delivery):
    """Outcomes and offsets in one transaction per partition: see the module."""

    def __init__(
        self,
        *,
        source: Source,
        transactions: Transactions,
        clock: Clock,
        telemetry: Telemetry,
        group_id: str,
        policy: TransactionPolicy = TransactionPolicy(),  # noqa: B008 - frozen
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
        self._buffers: dict[Partition, PartitionTransactionBuffer] = {}
        self._marking: dict[Partition, asyncio.Event] = {}
        self._troubled: dict[Partition, str] = {}
        # how often in a row a topic did not take what a partition wanted to write
        self._refused: Counter[Partition] = Counter()
        self._pace = Pace(policy)

    @override
    async def start(self) -> None:
        await self._transactions.start()

    @override
    async def stop(self) -> None:
        await self.revoked(list(self._owners))

    @override
    def max_bytes(self, topic: str) -> int:
        return self._transactions.max_bytes(topic)

    @override
    def trouble(self) -> str | None:
        return next(iter(self._troubled.values()), None)

    @override
    def backlog(self, partition: Partition) -> tuple[int, int]:
        buffer = self._buffers.get(partition)
        ready, size_bytes = (buffer.ready, buffer.size_bytes) if buffer else (0, 0)
        return self._ledger.tracked(partition) + ready, size_bytes

    @override
    def unwritten(self) -> dict[Partition, tuple[int, int]]:
        return {
            p: (buffer.ready, buffer.ready_bytes)
            for p, buffer in self._buffers.items()
            if buffer.ready
        }

    @override
    def limits(self) -> dict[Partition, int]:
        judged = {p: len(buffer.outcomes) for p, buffer in self._buffers.items()}
        return {p: max(_PROBE_RECORDS - judged.get(p, 0), 0) for p in self._refused}

    @override
    def hurry(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            buffer = self._buffers.get(partition)
            if buffer is not None and buffer.ready > buffer.leaving:
                buffer.work.set()
                buffer.urgent.set()

    async def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Hand outcomes to the owners of their partitions, who commit the contiguous prefix."""
        for outcome in outcomes:
            record = outcome.record
            buffer = self._buffers.get(record.partition)
            tracked = self._ledger.tracked(record.partition)
            if not self._ledger.resolve(record.partition, record.epoch, record.offset):
                self._telemetry.void([outcome])
                continue
            assert buffer is not None, "what the ledger holds has a buffer"  # noqa: S101
            buffer.add(outcome)
            buffer.reached(tracked - self._ledger.tracked(record.partition))
            if buffer.ready:
                buffer.work.set()
            is_crowded = buffer.ready and self._windows[record.partition].is_crowded
            if is_crowded or buffer.ready - buffer.leaving >= self._policy.max_records:
                buffer.urgent.set()

    async def settle(self, partitions: Collection[Partition] | None = None) -> None:
        """Commit now what is judged, and the position where nothing is left to judge."""
        wanted = list(self._buffers) if partitions is None else partitions
        await self._flush([buffer for p in wanted if (buffer := self._buffers.get(p)) is not None])

    @override
    async def release(self, partitions: Collection[Partition]) -> None:
        # a mark that is being written would look like a death
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                for marking in [self._marking[p] for p in partitions if p in self._marking]:
                    await marking.wait()
        buffers = [buffer for p in partitions if (buffer := self._buffers.get(p)) is not None]
        for buffer in buffers:
            self._windows[buffer.partition].close()
            buffer.marks = True
        await self._flush(buffers)

    @override
    async def _write_mark(self, partition: Partition) -> bool:
        if (buffer := self._buffers.get(partition)) is None:
            return False
        buffer.marks = True
        return await self._flush([buffer]) and self._buffers.get(partition) is buffer

    async def _flush(self, buffers: Sequence[PartitionTransactionBuffer]) -> bool:
        """Have these commit at once; False if one has not within the time allowed."""
        flushes = [buffer.flush() for buffer in buffers]
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                for done in flushes:
                    await done.wait()
        except TimeoutError:
            logger.warning("Committing takes long; what is not committed will be judged again.")
            return False
        return True

    @override
    async def revoked(self, partitions: Collection[Partition]) -> None:
        await super().revoked(partitions)
        for partition in partitions:
            self._troubled.pop(partition, None)
            self._refused.pop(partition, None)
        self._changed()

    async def _own(self, partition: Partition) -> None:
        failures, written = 0, None
        takeover = self._takeover(partition)
        while True:
            try:
                async for _ in self._commits(partition, takeover):
                    position = self._ledger.committed(partition)
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
                    pause = _REFUSED_RETRIES.pause_seconds(failures, self._uniform())
                    await self._clock.sleep(pause)
            except Retriable as error:
                failures += 1
                self._report(partition, error)
                await self._pause_after(failures)

    def _report(self, partition: Partition, error: Retriable) -> None:
        reason = f"{error} {partition} is held back."
        if self._troubled.get(partition) != reason:
            logger.warning("%s: %s Taking it over again.", partition, error)
        self._troubled[partition] = reason

    async def _lower_limit(self, error: NotWritten) -> bool:
        """Read the limit of a topic that refused a record as too large; whether it changed."""
        if error.kind != "too_large" or error.limit is None:
            return False
        await self._transactions.too_large(error.topic, error.limit)
        return self.max_bytes(error.topic) != error.limit

    async def _commits(
        self, partition: Partition, takeover: Takeover
    ) -> AsyncGenerator[None, None]:
        """Take the partition over, then commit what is judged of it; yields after each success.

        Raises:
            Retriable: it must be taken over again.
        """
        transactor = await self._transactions.open(
            f"{self._group_id}.{partition.topic}.{partition.number}"
        )
        try:
            # not before the former owner is fenced, or the committed offset could still move
            adopted = await takeover.adopt()
            self._marking[partition] = has_begun = asyncio.Event()
            try:
                if adopted.marked != adopted.found:
                    await transactor.commit([], {partition: adopted.marked})
                epoch = self._begin(partition, adopted.found.offset, adopted.window)
                self._buffers[partition] = buffer = PartitionTransactionBuffer(partition, epoch)
            finally:
                del self._marking[partition]
                has_begun.set()
            while True:
                await buffer.due(
                    lambda: self._pace.wait_seconds(self._clock.monotonic(), buffer.committed_at)
                )
                await self._commit(buffer, transactor)
                buffer.committed_at = self._clock.monotonic()
                yield
        finally:
            self._source.pause([partition])
            self._forget([partition])
            if (abandoned := self._buffers.pop(partition, None)) is not None:
                self._telemetry.void(list(abandoned.outcomes.values()))
                for done in abandoned.flushes:
                    done.set()
                self._changed()
            await transactor.close()

    async def _commit(self, buffer: PartitionTransactionBuffer, transactor: Transactor) -> None:
        """Commit all that is judged of a partition by now, in bounded transactions.

        What is judged meanwhile waits for more, or a busy partition would have one small
        transaction after the other.
        """
        partition, flushes, limit = buffer.partition, len(buffer.flushes), self._policy.max_records
        marks, buffer.marks = buffer.marks, False
        if flushes:
            await self._advance(partition)
        target = self._ledger.committable([partition]).get(partition)
        end = None
        while target is not None and end != target:
            chosen = buffer.leave(target, limit)
            end = target if len(chosen) < limit else chosen[-1].record.offset + 1
            outgoing = [outgoing for outcome in chosen for outgoing in outcome.outgoing]
            with self._telemetry.operation("transaction", partition.topic):
                await transactor.commit(outgoing, {partition: self._marked(partition, end)})
            marks = False
            self._note_commit(partition, buffer.epoch, end)
            buffer.remove(chosen)
            self._durable(chosen)
        if marks and (offset := self._ledger.committed(partition)) is not None:
            await transactor.commit([], {partition: self._marked(partition, offset)})
        for done in buffer.flushes[:flushes]:
            done.set()
        del buffer.flushes[:flushes]

    def _marked(self, partition: Partition, offset: int) -> CommittedOffset:
        return CommittedOffset(offset, self._windows[partition].mark_at(offset).encode())
