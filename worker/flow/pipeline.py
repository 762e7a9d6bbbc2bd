"""The flow: receive → decode → batch → judge → decide → publish → settle.

A few tasks share one event loop. `_receive` polls without pause into bounded queues; `_batch` has
what the scheduler takes from there decoded, rendered and tokenised, and admits micro-batches to the
engine as soon as there is room; one short task per record (`processing`) judges it, has the policy
decide (`deciding`), and hands the outcome to the delivery, which publishes it; `_settle` moves
offsets on an interval. A rebalance (`assignment`) settles what it can before partitions go.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from worker.delivery.base import Delivery, end
from worker.domain.outcomes import Destinations
from worker.domain.ports import Clock, Source
from worker.engine.circuit_breaker import BreakerPolicy
from worker.flow.admission import Admission, AdmissionPolicy
from worker.flow.assignment import Assignment
from worker.flow.batching import BatchPolicy, MicroBatcher
from worker.flow.circuit_breaking import CircuitBreakingJudge
from worker.flow.deciding import Deciding
from worker.flow.judge import Judge, PreparedRecord
from worker.flow.load_monitor import LoadMonitor
from worker.flow.outcomes import Outcomes
from worker.flow.ownership import Ownership
from worker.flow.partition_queues import PartitionQueues, QueueBounds
from worker.flow.processing import Processor
from worker.flow.scheduler import Scheduler
from worker.flow.suspects import Suspects
from worker.telemetry import Telemetry

_PREPARE_CHUNK = 64


@dataclass(frozen=True, slots=True)
class FlowPolicy:
    """How much and how long.

    Attributes:
        drain_seconds: what in-flight records get when the worker stops or partitions go.
        stuck_seconds: how long a partition with lag may stand still before that is trouble.
        devices: GPUs that the engine runs on.
    """

    admission: AdmissionPolicy
    queues: QueueBounds = field(default_factory=QueueBounds)
    batch: BatchPolicy = field(default_factory=BatchPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    commit_interval_seconds: float = 1.0
    drain_seconds: float = 20.0
    stuck_seconds: float = 300.0
    devices: int = 1


class Pipeline:
    """Runs the flow from `run` until `stop`, or until something fatal happens.

    Args:
        deciding: what to do about verdicts; nothing by default.
    """

    def __init__(
        self,
        *,
        source: Source,
        delivery: Delivery,
        judge: Judge,
        policy: FlowPolicy,
        destinations: Destinations,
        telemetry: Telemetry,
        clock: Clock,
        deciding: Deciding | None = None,
    ) -> None:
        self._source = source
        self._delivery = delivery
        self._policy = policy
        self._telemetry = telemetry
        self._clock = clock
        self._circuit = CircuitBreakingJudge(judge, policy.breaker, clock)
        self._batcher: MicroBatcher[PreparedRecord] = MicroBatcher(policy.batch)
        self._queues = queues = PartitionQueues(policy.queues)
        self._outcomes = Outcomes(
            destinations, telemetry, clock, deciding or Deciding(telemetry, clock)
        )
        self._ownership = ownership = Ownership(delivery)
        self._admission = admission = Admission(
            policy.admission,
            delivery=delivery,
            ownership=ownership,
            clock=clock,
            max_num_seqs=lambda: judge.max_at_once,
        )
        self._assignment = Assignment(
            ownership=ownership,
            delivery=delivery,
            queues=queues,
            admission=admission,
            telemetry=telemetry,
            drain_seconds=policy.drain_seconds,
        )
        self._scheduler = Scheduler(
            queues=queues,
            ownership=ownership,
            admission=admission,
            delivery=delivery,
            telemetry=telemetry,
        )
        self._processor = Processor(
            judge=self._circuit,
            outcomes=self._outcomes,
            scheduler=self._scheduler,
            ownership=ownership,
            admission=admission,
            delivery=delivery,
            telemetry=telemetry,
            clock=clock,
        )
        self._suspects = Suspects(
            scheduler=self._scheduler,
            admission=admission,
            delivery=delivery,
            processor=self._processor,
            clock=clock,
        )
        self._load_monitor = LoadMonitor(
            source=source,
            delivery=delivery,
            telemetry=telemetry,
            clock=clock,
            ownership=ownership,
            admission=admission,
            devices=policy.devices,
            stuck_seconds=policy.stuck_seconds,
        )
        delivery.attend(changed=self._make_room, rebuild=self._outcomes.rebuild, began=queues.drop)
        queues.register_gauges(telemetry, clock)
        for part in (ownership, admission, self._circuit):
            part.register_gauges(telemetry)
        self._arrived = asyncio.Event()
        self._stopping = asyncio.Event()
        self._joined = False

    @property
    def outcomes(self) -> Counter[str]:
        """How many verdicts, dead letters and tombstones so far."""
        return self._outcomes.counts

    @property
    def held(self) -> int:
        """How many partitions are taken over."""
        return len(self._ownership.epochs())

    def stop(self) -> None:
        """Receive no more; `run` returns when what is in flight is settled."""
        self._stopping.set()
        self._ownership.close()
        self._scheduler.stop()

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
            Fatal: the first failure; nothing unresolved was committed.
        """
        try:
            async with asyncio.TaskGroup() as group:
                self._delivery.serve(group)
                self._processor.serve(group)
                # joining assigns partitions: everything that this uses is ready by now
                await self._source.start(self._assignment)
                self._joined = True
                tasks = [
                    group.create_task(self._receive(), name="receive"),
                    group.create_task(self._batch(), name="batch"),
                    group.create_task(self._settle(), name="settle"),
                    group.create_task(self._load_monitor.run(), name="measure"),
                ]
                try:
                    await self._stopping.wait()
                    await self._assignment.drain()
                finally:
                    # what is resolved is settled even when what is in flight is aborted
                    held = self._ownership.held
                    if self._scheduler.killed:
                        # by a record, perhaps: the next owners must count a death
                        await self._delivery.settle()
                    else:
                        await self._delivery.release(held)
                    await end([*tasks, *self._processor.tasks()])
                    await self._delivery.revoked(held)
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
                if (record := self._ownership.stamp(partition, raw)) is None:
                    continue
                # tracked even while stopping: an untracked one would be passed over by the commit
                if self._delivery.received(record) and not self._stopping.is_set():
                    self._queues.put(record)
            if arrived:
                self._arrived.set()
            self._pause_and_resume()

    def _pause_and_resume(self) -> None:
        """Backpressure: pause partitions that have too much, resume those below their limits."""
        is_crowded, backlog = self._policy.queues.is_crowded, self._delivery.backlog
        crowded = {p for p in self._ownership.held if is_crowded(*backlog(p))}
        if full := self._queues.to_pause(crowded):
            self._source.pause(full)
        if ready := self._queues.to_resume(crowded):
            self._source.resume({p for p in ready if self._ownership.epoch(p) is not None})

    # decode and batch

    async def _batch(self) -> None:
        with self._scheduler.counting_deaths():
            while True:
                records = self._scheduler.take(_PREPARE_CHUNK)
                for prepared in await self._processor.prepare(records):
                    tokens = len(prepared.prompt_token_ids)
                    for batch in self._batcher.add(prepared, tokens, self._clock.monotonic()):
                        await self._processor.admit(batch)
                if not (await self._suspects.judge_next() or records):
                    if not self._admission.in_flight and (idle := self._batcher.poll_idle()):
                        await self._processor.admit(idle)
                    await self._linger()
                if due := self._batcher.poll(self._clock.monotonic()):
                    await self._processor.admit(due)

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

    def _make_room(self) -> None:
        self._admission.changed()
        self._arrived.set()

    # settle

    async def _settle(self) -> None:
        while True:
            await self._clock.sleep(self._policy.commit_interval_seconds)
            await self._delivery.settle()


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first leaf of a group: the task that failed first cancelled all others."""
    error = failures.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
