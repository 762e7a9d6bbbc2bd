"""The story: receive → decode → batch → judge → publish → settle.

A few tasks share one event loop. `_receive` polls without pause into bounded queues; `_batch`
decodes, renders and tokenises what waits there and admits micro-batches to the engine as soon as
there is room; one short task per record judges and hands the outcome to the delivery, which
publishes it; `_settle` moves offsets on an interval. A rebalance settles what it can before
partitions go.
"""

import asyncio
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry.trace import Span

from worker.delivery.base import Delivery, end
from worker.domain.errors import PoisonRecord, RecordError, VerdictTooLarge
from worker.domain.outcomes import Destinations, Outcome
from worker.domain.ports import Clock, Source
from worker.domain.records import Partition, Record, in_hand
from worker.domain.verdicts import Verdict
from worker.engine.circuit_breaker import BreakerPolicy
from worker.flow.admission import Admission, AdmissionPolicy
from worker.flow.batching import BatchPolicy, MicroBatch, MicroBatcher
from worker.flow.circuit_breaking import CircuitBreakingJudge
from worker.flow.judge import Judge, PreparedRecord
from worker.flow.load_monitor import LoadMonitor
from worker.flow.partition_queues import PartitionQueues
from worker.telemetry import Telemetry, names
from worker.telemetry.names import CloseReason

logger = logging.getLogger(__name__)

_PREPARE_CHUNK = 64
_SUSPECT_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much and how long.

    Attributes:
        max_in_flight: records at the engine; a little more than it runs at once. Twice as many
            outcomes may wait to be written.
        outbox_bytes: what outcomes that wait to be written may weigh.
        unsettled_records_per_partition: received and not settled, behind one slow record, before
            the partition is paused; bytes of waiting outcomes have the bound of queued bytes.
        drain_seconds: what in-flight records get when the worker stops or partitions go.
        stuck_seconds: how long a partition with lag may stand still before that is trouble.
    """

    max_in_flight: int
    queued_records_per_partition: int = 512
    queued_bytes_per_partition: int = 16 << 20
    queued_bytes: int = 256 << 20
    unsettled_records_per_partition: int = 4096
    outbox_bytes: int = 64 << 20
    commit_interval_seconds: float = 1.0
    drain_seconds: float = 20.0
    stuck_seconds: float = 300.0


class Pipeline:
    """Runs the story from `run` until `stop`, or until something fatal happens."""

    def __init__(
        self,
        *,
        source: Source,
        delivery: Delivery,
        judge: Judge,
        policy: BatchPolicy,
        breaker: BreakerPolicy,
        bounds: Bounds,
        destinations: Destinations,
        telemetry: Telemetry,
        clock: Clock,
        devices: int = 1,
    ) -> None:
        self._source = source
        self._delivery = delivery
        self._judge = judge
        self._bounds = bounds
        self._destinations = destinations
        self._telemetry = telemetry
        self._clock = clock
        self._circuit = CircuitBreakingJudge(judge, breaker, clock)
        self._queues = PartitionQueues(
            bounds.queued_records_per_partition,
            bounds.queued_bytes_per_partition,
            bounds.queued_bytes,
        )
        self._batcher: MicroBatcher[PreparedRecord] = MicroBatcher(policy)
        self._arrived = asyncio.Event()
        self._admission = Admission(
            AdmissionPolicy(bounds.max_in_flight, 2 * bounds.max_in_flight, bounds.outbox_bytes),
            delivery,
        )
        delivery.attend(changed=self._make_room, rebuild=self._rebuild, began=self._queues.drop)
        self._load_monitor = LoadMonitor(
            source=source,
            delivery=delivery,
            telemetry=telemetry,
            clock=clock,
            held=lambda: self._held,
            devices=devices,
            max_num_seqs=lambda: judge.max_at_once,
            stuck_seconds=bounds.stuck_seconds,
        )
        self._judging: set[asyncio.Task[None]] = set()
        self._held: set[Partition] = set()
        self._leaving: set[Partition] = set()
        self._stopping = asyncio.Event()
        self._joined = False
        self._unmarked: Partition | None = None
        self._killed = False  # by a record, perhaps: then the next owners count a death
        self.outcomes: Counter[str] = Counter()
        for metric, read in {
            names.IN_FLIGHT: lambda: self._load_monitor.at_engine,
            names.IN_FLIGHT_LIMIT: lambda: bounds.max_in_flight,
            names.QUEUED_RECORDS: lambda: len(self._queues),
            names.QUEUED_SIZE: lambda: self._queues.size_bytes,
            names.QUEUED_AGE: self._queued_age,
            names.PARTITIONS_HELD: delivery.held,
            names.PARTITIONS_PAUSED: lambda: self._queues.paused,
            names.BREAKER_OPEN: lambda: self._circuit.trouble is not None,
        }.items():
            telemetry.watch(metric, read)

    def stop(self) -> None:
        """Receive no more; `run` returns when what is in flight is settled."""
        self._stopping.set()

    def trouble(self) -> str | None:
        """Why nothing moves at the moment, if that is so."""
        if not self._joined:
            return "The group is not joined yet."
        return (
            self._circuit.trouble
            or self._delivery.trouble()
            or self._source.trouble()
            or self._load_monitor.trouble()
        )

    async def run(self) -> None:
        """Judge until stopped.

        Raises:
            Fatal: the first reason not to go on; nothing unresolved was committed.
        """
        try:
            async with asyncio.TaskGroup() as group:
                self._delivery.serve(group)
                # joining calls `assigned`: everything that it touches is ready by now
                await self._source.start(self)
                self._joined = True
                tasks = [
                    group.create_task(self._receive(), name="receive"),
                    group.create_task(self._batch(group), name="batch"),
                    group.create_task(self._settle(), name="settle"),
                    group.create_task(self._load_monitor.run(), name="measure"),
                ]
                try:
                    await self._stopping.wait()
                    await self._drain(
                        lambda: self._admission.in_flight + self._delivery.undelivered(self._held)
                    )
                finally:
                    # what is resolved is settled even when what is in flight is aborted
                    if self._killed:
                        await self._delivery.settle()
                    else:
                        await self._delivery.release(self._held)
                    await end([*tasks, *self._judging])
                    await self._delivery.revoked(self._held)
        except BaseExceptionGroup as failures:
            raise _first(failures) from None

    # receive

    async def _receive(self) -> None:
        while True:
            began = self._clock.now()
            arrived = await self._source.receive()
            if arrived:
                self._telemetry.received([record for _, record in arrived], began)
            for partition, raw in arrived:
                epoch = self._delivery.epoch(partition)
                if epoch is None:
                    continue
                record = dataclasses.replace(raw, epoch=epoch)
                # tracked even while stopping: an untracked one would be passed over by the commit
                if self._delivery.received(record) and not self._stopping.is_set():
                    self._queues.put(record)
            if arrived:
                self._arrived.set()
            crowded = {p for p in self._held if self._is_crowded(p)}
            if full := self._queues.to_pause(crowded):
                self._source.pause(full)
            if ready := self._queues.to_resume(crowded):
                self._source.resume({p for p in ready if self._delivery.epoch(p) is not None})

    def _is_crowded(self, partition: Partition) -> bool:
        records, size_bytes = self._delivery.backlog(partition)
        return (
            records >= self._bounds.unsettled_records_per_partition
            or size_bytes >= self._bounds.queued_bytes_per_partition
        )

    # decode and batch

    async def _batch(self, group: asyncio.TaskGroup) -> None:
        with self._counting_deaths():
            await self._batch_until_cancelled(group)

    @contextmanager
    def _counting_deaths(self) -> Iterator[None]:
        """Around the work on records: what ends the worker here may be a record's fault."""
        try:
            yield
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._killed = True
            raise

    async def _batch_until_cancelled(self, group: asyncio.TaskGroup) -> None:
        while True:
            records = self._take(_PREPARE_CHUNK, self._room())
            for case in await self._prepare(records):
                tokens = len(case.prompt_token_ids)
                for batch in self._batcher.add(case, tokens, self._clock.monotonic()):
                    await self._admit(batch, group)
            if not (await self._judge_suspect(group) or records):
                await self._linger()
            if due := self._batcher.poll(self._clock.monotonic()):
                await self._admit(due, group)

    def _room(self) -> Callable[[Partition], int]:
        """How many records of a partition may be begun now."""
        limits = self._admission.limits()

        def room(partition: Partition) -> int:
            window = self._delivery.window(partition)
            # what is not ours is taken, and dropped
            most = _PREPARE_CHUNK if window is None else window.room
            return min(most, limits.get(partition, most))

        return room

    def _take(self, limit: int, room: Callable[[Partition], int]) -> list[Record]:
        """Begin records: from here on, a death may be the fault of each of these."""
        if self._is_ending() or not len(self._queues) or not self._admission.is_open:
            return []
        records: list[Record] = []
        # queues can hold whole chunks of an epoch that has passed
        while not records and (taken := self._queues.take(limit, room)):
            records = [record for record in taken if self._is_ours(record)]
        for record in records:
            self._admission.take(record)
            if (window := self._delivery.window(record.partition)) is not None:
                window.begin(record.offset)
        self._telemetry.taken(records)
        return records

    async def _prepare(self, records: Sequence[Record]) -> list[PreparedRecord]:
        """Decode, render and tokenise; what has its outcome already is sent on the way."""
        taken_at = self._clock.now()
        judgeable = []
        for record in records:
            if record.value is None:
                self.outcomes["tombstone"] += 1
                await self._send_at_once(Outcome(record, "tombstone", None, taken_at))
            else:
                judgeable.append(record)
        cases = []
        for record, case in zip(judgeable, await self._judge.prepare(judgeable), strict=True):
            if isinstance(case, RecordError):
                await self._refuse(record, case, taken_at)
            else:
                cases.append(case)
        return cases

    async def _refuse(self, record: Record, error: RecordError, taken_at: float) -> None:
        with in_hand(record), self._telemetry.process(record, taken_at) as span:
            outcome = self._bury(record, error, taken_at, span)
        await self._send_at_once(outcome)

    async def _judge_suspect(self, group: asyncio.TaskGroup) -> bool:
        """Judge a record alone that may have killed workers; False if there is none to judge."""
        suspects = {
            partition: window
            for partition in self._queues.waiting()
            if (window := self._delivery.window(partition)) is not None and window.wants_alone
        }
        if not suspects or self._is_ending():
            return False
        # one whose mark could not be written gives way to the others
        partition = min(suspects, key=lambda p: p == self._unmarked)
        window, self._unmarked = suspects[partition], None
        if window.is_condemned:
            for record in self._take(1, lambda p: int(p == partition)):
                error = PoisonRecord(
                    f"{window.deaths} workers ended while judging this record, the last ones with"
                    " it alone."
                )
                await self._refuse(record, error, self._clock.now())
            return self._admission.is_open
        await self._until_idle()
        if self._is_ending() or not self._admission.is_open:
            return False
        if not await self._delivery.suspect(partition, begins=True):
            # it may have been written all the same
            await self._delivery.suspect(partition, begins=False)
            self._unmarked = partition
            await self._clock.sleep(_SUSPECT_AGAIN_SECONDS)
            return True
        taken = self._take(1, lambda p: int(p == partition))
        if not taken:
            await self._delivery.suspect(partition, begins=False)
        for record in taken:
            logger.info("Judging %s alone: a record near it may have killed workers.", record)
            for case in await self._prepare([record]):
                tokens = len(case.prompt_token_ids)
                alone = MicroBatch((case,), tokens, CloseReason.SUSPECT, self._clock.monotonic())
                await self._admit(alone, group)
            await self._until_idle()
            await self._delivery.settle([partition])
        return True

    def _is_ending(self) -> bool:
        """Whether no more records are begun; when one has killed the worker, no other is blamed."""
        return self._stopping.is_set() or self._killed

    async def _until_idle(self) -> None:
        """Wait until nothing is being judged or sent."""
        await self._admission.until(lambda: not self._admission.in_flight)

    def _make_room(self) -> None:
        self._admission.changed()
        self._arrived.set()

    async def _linger(self) -> None:
        """Wait for a record that may be taken, or for the gathered batch to fall due."""
        due = self._batcher.due_at()
        wait = None if due is None else max(due - self._clock.monotonic(), 0)
        self._arrived.clear()
        try:
            async with asyncio.timeout(wait):
                await self._arrived.wait()
        except TimeoutError:
            pass

    async def _admit(self, batch: MicroBatch[PreparedRecord], group: asyncio.TaskGroup) -> None:
        self._telemetry.batched(
            [case.record for case in batch.items], batch.tokens, batch.reason, batch.opened_at
        )
        await self._admission.room(len(batch.items))
        for case in batch.items:
            # partitions may have gone while the batch was gathered
            if not self._is_ours(case.record):
                self._admission.drop(case.record)
                continue
            self._admission.admit(case.record)
            self._load_monitor.entered()
            judging = group.create_task(self._judge_one(case))
            self._judging.add(judging)
            judging.add_done_callback(self._judging.discard)

    # judge

    async def _judge_one(self, case: PreparedRecord) -> None:
        record = case.record
        admitted_at = self._telemetry.admitted(case.taken_at)
        outcome: Outcome | None = None
        try:
            with (
                self._counting_deaths(),
                in_hand(record),
                self._telemetry.process(record, case.taken_at) as span,
            ):
                try:
                    verdict = await self._circuit.judge(case, wanted=lambda: self._is_ours(record))
                    if verdict is not None:
                        outcome = self._conclude(case, verdict, admitted_at)
                except RecordError as error:
                    outcome = self._bury(record, error, case.taken_at, span)
            if outcome is not None:
                await self._deliver(outcome)
        finally:
            self._load_monitor.returned()
            # not before its outcome is accepted: else the bound would not count it meanwhile
            self._admission.release(record)

    def _conclude(self, case: PreparedRecord, verdict: Verdict, admitted_at: float) -> Outcome:
        record, topic = case.record, self._destinations.verdict_topic
        span, trace = self._telemetry.sending(record, topic)
        outgoing = self._destinations.verdict(record, verdict, trace)
        self._telemetry.judged(record, verdict, taken_at=case.taken_at, admitted_at=admitted_at)
        self.outcomes["verdict"] += 1
        return Outcome(record, "verdict", outgoing, self._clock.now(), span)

    def _bury(self, record: Record, error: RecordError, taken_at: float, process: Span) -> Outcome:
        self._telemetry.buried(error, taken_at, process)
        span, _ = self._telemetry.sending(record, self._destinations.dead_letter_topic)
        self.outcomes["dead_letter"] += 1
        logger.info("Dead letter (%s): %s", type(error).__name__, error)
        outgoing = self._destinations.dead_letter(record, error)
        return Outcome(record, "dead_letter", outgoing, self._clock.now(), span, error)

    # publish

    def _rebuild(self, outcome: Outcome) -> Outcome:
        """The outcome of the same record, by what its topic takes now."""
        error = outcome.error
        if outcome.kind == "verdict":
            limit = self._destinations.max_bytes(self._destinations.verdict_topic)
            if outcome.size_bytes <= limit:
                return outcome
            error = VerdictTooLarge(f"The verdict exceeds the {limit} bytes its topic takes.")
            self._telemetry.replaced(error)
            self.outcomes.update(verdict=-1, dead_letter=1)
            logger.info("Dead letter (%s): %s", type(error).__name__, error)
        if error is None:
            return outcome
        outgoing = self._destinations.dead_letter(outcome.record, error)
        return dataclasses.replace(outcome, kind="dead_letter", outgoing=outgoing, error=error)

    async def _deliver(self, outcome: Outcome) -> None:
        """Hand an outcome to the delivery; one that was judged alone has killed nobody."""
        partition = outcome.record.partition
        window = self._delivery.window(partition)
        if window is not None and window.is_suspecting:
            # first, since publishing may take long: no later death is to be put down to it
            await self._delivery.suspect(partition, begins=False)
        await self._delivery.deliver([outcome])

    async def _send_at_once(self, outcome: Outcome) -> None:
        """Send an outcome that never went to the engine."""
        self._admission.admit(outcome.record)
        await self._deliver(outcome)
        self._admission.release(outcome.record)

    # settle

    async def _settle(self) -> None:
        while True:
            await self._clock.sleep(self._bounds.commit_interval_seconds)
            await self._delivery.settle()

    # assignment

    async def assigned(self, partitions: Collection[Partition]) -> None:
        """These partitions are ours from now on."""
        if self._stopping.is_set():
            return  # nobody would end an owner that began now
        self._leaving.clear()
        self._held.update(partitions)
        self._delivery.assigned(partitions)
        self._telemetry.rebalanced("assigned", len(partitions))
        logger.info("Assigned %d partitions.", len(partitions))

    async def revoked(self, partitions: Collection[Partition]) -> None:
        """Finish and settle what is in flight of these, within the time allowed."""
        self._leaving.update(partitions)
        self._queues.drop(partitions)
        held = {(p, epoch) for p in partitions if (epoch := self._delivery.epoch(p)) is not None}
        await self._drain(
            lambda: self._admission.admitted(held) + self._delivery.undelivered(partitions)
        )
        await self._delivery.release(partitions)
        await self._release(partitions)
        self._telemetry.rebalanced("revoked", len(partitions))
        logger.info("Revoked %d partitions.", len(partitions))

    async def lost(self, partitions: Collection[Partition]) -> None:
        """Drop all that is in flight of these: they have another owner, who judges it again."""
        self._queues.drop(partitions)
        await self._release(partitions)
        self._telemetry.rebalanced("lost", len(partitions))
        logger.warning("Lost %d partitions: the group went on without us.", len(partitions))

    async def _release(self, partitions: Collection[Partition]) -> None:
        await self._delivery.revoked(partitions)
        self._held.difference_update(partitions)

    async def _drain(self, in_flight: Callable[[], int]) -> None:
        try:
            async with asyncio.timeout(self._bounds.drain_seconds):
                await self._admission.until(lambda: in_flight() == 0)
        except TimeoutError:
            logger.warning(
                "%d records were still in flight after %.0f s; they will be judged again.",
                in_flight(),
                self._bounds.drain_seconds,
            )

    def _queued_age(self) -> float:
        oldest = self._queues.oldest()
        return 0.0 if oldest is None else max(self._clock.now() - oldest, 0.0)

    def _is_ours(self, record: Record) -> bool:
        return (
            record.partition not in self._leaving
            and not self._stopping.is_set()
            and self._delivery.epoch(record.partition) == record.epoch
        )


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first leaf of a group: the task that failed first cancelled all others."""
    error = failures.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
