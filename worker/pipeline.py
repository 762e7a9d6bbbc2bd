"""The story: receive → decode → batch → judge → publish → settle.

A few tasks share one event loop. `_receive` polls without pause into bounded queues; `_batch`
decodes, renders and tokenises what waits there and admits micro-batches to the engine as soon as
there is room; one short task per record judges; `_send` hands outcomes to the delivery, which
publishes them; `_settle` moves offsets on an interval. A rebalance settles what it can before
partitions go.
"""

import asyncio
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from worker.batching import BatchPolicy, MicroBatch, MicroBatcher
from worker.breaker import BreakerPolicy
from worker.delivery import Delivery, end
from worker.errors import RecordError
from worker.intake import Intake
from worker.judging import Case, Judge
from worker.outcomes import Destinations, Outcome
from worker.patience import PatientJudge
from worker.ports import Clock, Source
from worker.records import Partition, Record, in_hand
from worker.telemetry import Telemetry, trace_headers
from worker.verdicts import Verdict

logger = logging.getLogger(__name__)

_PREPARE_CHUNK = 64
_SEND_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much and how long.

    Attributes:
        max_in_flight: records at the engine; a little more than it runs at once.
        unsettled_records_per_partition: received and not settled, behind one slow record, before
            the partition is paused; bytes of waiting outcomes have the bound of queued bytes.
        drain_seconds: what in-flight records get when the worker stops or partitions go.
    """

    max_in_flight: int
    queued_records_per_partition: int = 512
    queued_bytes_per_partition: int = 16 << 20
    queued_bytes: int = 256 << 20
    unsettled_records_per_partition: int = 4096
    commit_interval_seconds: float = 1.0
    drain_seconds: float = 20.0


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
    ) -> None:
        self._source = source
        self._delivery = delivery
        self._judge = judge
        self._bounds = bounds
        self._destinations = destinations
        self._telemetry = telemetry
        self._clock = clock
        self._patient = PatientJudge(judge, breaker, clock)
        self._intake = Intake(
            bounds.queued_records_per_partition,
            bounds.queued_bytes_per_partition,
            bounds.queued_bytes,
        )
        self._batcher: MicroBatcher[Case] = MicroBatcher(policy)
        self._outbox: asyncio.Queue[Outcome] = asyncio.Queue(2 * bounds.max_in_flight)
        self._arrived = asyncio.Event()
        # admitted and not yet handed to the delivery, per partition and epoch
        self._in_flight: Counter[tuple[Partition, int]] = Counter()
        self._progress = asyncio.Condition()
        self._at_engine = 0
        self._judging: set[asyncio.Task[None]] = set()
        self._held: set[Partition] = set()
        self._leaving: set[Partition] = set()
        self._stopping = asyncio.Event()
        self.outcomes: Counter[str] = Counter()

    def stop(self) -> None:
        """Receive no more; `run` returns when what is in flight is settled."""
        self._stopping.set()

    def trouble(self) -> str | None:
        """Why nothing moves at the moment, if that is so."""
        return self._patient.trouble or self._delivery.trouble()

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
                tasks = [
                    group.create_task(self._receive(), name="receive"),
                    group.create_task(self._batch(group), name="batch"),
                    group.create_task(self._send(), name="send"),
                    group.create_task(self._settle(), name="settle"),
                ]
                try:
                    await self._stopping.wait()
                    await self._drain(lambda: sum(self._in_flight.values()))
                finally:
                    # what is resolved is settled even when what is in flight is aborted
                    await self._delivery.settle()
                    await end([*tasks, *self._judging])
                    await self._delivery.revoked(self._held)
        except BaseExceptionGroup as failures:
            raise _first(failures) from None

    # receive

    async def _receive(self) -> None:
        while True:
            arrived = await self._source.receive()
            for partition, raw in arrived:
                epoch = self._delivery.epoch(partition)
                if epoch is None:
                    continue
                record = dataclasses.replace(raw, epoch=epoch)
                # tracked even while stopping: an untracked one would be passed over by the commit
                if self._delivery.received(record) and not self._stopping.is_set():
                    self._intake.put(record)
                    self._telemetry.received(partition.topic, 1)
            if arrived:
                self._arrived.set()
            crowded = {p for p in self._held if self._is_crowded(p)}
            if full := self._intake.to_pause(crowded):
                self._source.pause(full)
            if ready := self._intake.to_resume(crowded):
                self._source.resume({p for p in ready if self._delivery.epoch(p) is not None})

    def _is_crowded(self, partition: Partition) -> bool:
        records, size_bytes = self._delivery.backlog(partition)
        return (
            records >= self._bounds.unsettled_records_per_partition
            or size_bytes >= self._bounds.queued_bytes_per_partition
        )

    # decode and batch

    async def _batch(self, group: asyncio.TaskGroup) -> None:
        while True:
            if not len(self._intake) or self._stopping.is_set():
                await self._linger()
                if batch := self._batcher.poll(self._clock.monotonic()):
                    await self._admit(batch, group)
                continue
            records = [r for r in self._intake.take(_PREPARE_CHUNK) if self._is_ours(r)]
            judgeable = []
            for record in records:
                if record.value is None:
                    self._telemetry.tombstone()
                    self.outcomes["tombstone"] += 1
                    await self._send_at_once(Outcome(record, None))
                else:
                    judgeable.append(record)
            for record, case in zip(judgeable, await self._judge.prepare(judgeable), strict=True):
                if isinstance(case, RecordError):
                    with in_hand(record):
                        await self._send_at_once(self._bury(record, case))
                    continue
                tokens = len(case.prompt_token_ids)
                for batch in self._batcher.add(case, tokens, self._clock.monotonic()):
                    await self._admit(batch, group)

    async def _linger(self) -> None:
        """Wait for a record to arrive or for the gathered batch to fall due."""
        due = self._batcher.due_at()
        wait = None if due is None else max(due - self._clock.monotonic(), 0)
        self._arrived.clear()
        try:
            async with asyncio.timeout(wait):
                await self._arrived.wait()
        except TimeoutError:
            pass

    async def _admit(self, batch: MicroBatch[Case], group: asyncio.TaskGroup) -> None:
        self._telemetry.batch_closed(len(batch.items), batch.reason)
        async with self._progress:
            await self._progress.wait_for(
                lambda: (
                    self._at_engine == 0
                    or self._at_engine + len(batch.items) <= self._bounds.max_in_flight
                )
            )
            for case in batch.items:
                # partitions may have gone while the batch was gathered
                if self._is_ours(case.record):
                    self._at_engine += 1
                    self._in_flight[case.record.partition, case.record.epoch] += 1
                    judging = group.create_task(self._judge_one(case))
                    self._judging.add(judging)
                    judging.add_done_callback(self._judging.discard)

    # judge

    async def _judge_one(self, case: Case) -> None:
        record = case.record
        self._telemetry.in_flight(1)
        outcome: Outcome | None = None
        try:
            with in_hand(record), self._telemetry.process(record):
                try:
                    verdict = await self._patient.judge(case, wanted=lambda: self._is_ours(record))
                    if verdict is not None:
                        outcome = self._conclude(case, verdict)
                except RecordError as error:
                    outcome = self._bury(record, error)
        finally:
            self._telemetry.in_flight(-1)
            self._at_engine -= 1
            if outcome is None:
                self._landed(record)
            async with self._progress:
                self._progress.notify_all()
        if outcome is not None:
            await self._outbox.put(outcome)

    def _conclude(self, case: Case, verdict: Verdict) -> Outcome:
        trace = trace_headers(self._telemetry.trace_context())
        outcome = self._destinations.verdict(case.record, verdict, trace)
        self.outcomes["verdict"] += 1
        age = self._clock.now() - case.record.timestamp_ms / 1000
        self._telemetry.verdict(verdict, age)
        return outcome

    def _bury(self, record: Record, error: RecordError) -> Outcome:
        self._telemetry.dead_letter(error.stage, type(error).__name__)
        self.outcomes["dead_letter"] += 1
        logger.info("Dead letter (%s): %s", type(error).__name__, error)
        return self._destinations.dead_letter(record, error)

    # publish

    async def _send_at_once(self, outcome: Outcome) -> None:
        """Send an outcome that never went to the engine."""
        self._in_flight[outcome.record.partition, outcome.record.epoch] += 1
        await self._outbox.put(outcome)

    async def _send(self) -> None:
        while True:
            outcomes = [await self._outbox.get()]
            while len(outcomes) < _SEND_CHUNK and not self._outbox.empty():
                outcomes.append(self._outbox.get_nowait())
            await self._delivery.deliver(outcomes)
            async with self._progress:
                for outcome in outcomes:
                    self._landed(outcome.record)
                self._progress.notify_all()

    def _landed(self, record: Record) -> None:
        key = record.partition, record.epoch
        self._in_flight[key] -= 1
        if not self._in_flight[key]:
            del self._in_flight[key]

    # settle

    async def _settle(self) -> None:
        while True:
            await self._clock.sleep(self._bounds.commit_interval_seconds)
            await self._delivery.settle()

    async def assigned(self, partitions: Collection[Partition]) -> None:
        """These partitions are ours from now on."""
        self._leaving.clear()
        self._held.update(partitions)
        self._delivery.assigned(partitions)
        logger.info("Assigned %d partitions.", len(partitions))

    async def revoked(self, partitions: Collection[Partition]) -> None:
        """Finish and settle what is in flight of these, within the time allowed."""
        self._leaving.update(partitions)
        self._intake.drop(partitions)
        held = {(p, epoch) for p in partitions if (epoch := self._delivery.epoch(p)) is not None}
        await self._drain(lambda: sum(self._in_flight[key] for key in held))
        await self._delivery.settle(partitions)
        await self._release(partitions)
        logger.info("Revoked %d partitions.", len(partitions))

    async def lost(self, partitions: Collection[Partition]) -> None:
        """Drop all that is in flight of these: they have another owner, who judges it again."""
        self._intake.drop(partitions)
        await self._release(partitions)
        logger.warning("Lost %d partitions: the group went on without us.", len(partitions))

    async def _release(self, partitions: Collection[Partition]) -> None:
        await self._delivery.revoked(partitions)
        self._held.difference_update(partitions)

    async def _drain(self, in_flight: Callable[[], int]) -> None:
        try:
            async with asyncio.timeout(self._bounds.drain_seconds), self._progress:
                await self._progress.wait_for(lambda: in_flight() == 0)
        except TimeoutError:
            logger.warning(
                "%d records were still in flight after %.0f s; they will be judged again.",
                in_flight(),
                self._bounds.drain_seconds,
            )

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
