"""Workers of one group: they start, hold partitions, judge, drain and end.

A fluid model: records are amounts, and steps of time are short. Within a partition the oldest goes
first, so that ages are those of the mean record, not of the longest.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.scaling.engine import Cohort, Engine, PartitionQueue, shares
from worker.flow.workload import Counts, Workload


@dataclass(frozen=True)
class Habits:
    """What workers take their time for.

    Attributes:
        start_seconds: from the wish until it joins the group: schedule, pull, load the model.
        drain_seconds: for what is in flight, when it is to end.
        rebalance_seconds: duration of a rebalance, during which all partitions pause.
    """

    start_seconds: float = 180.0
    drain_seconds: float = 20.0
    rebalance_seconds: float = 5.0


@dataclass(slots=True)
class Worker:
    """One replica.

    Attributes:
        leaves_with: records in flight when it got SIGTERM; None before.
    """

    joins_at: float
    joined: bool = False
    queues: list[PartitionQueue] = field(default_factory=list)
    workload: Workload = field(default_factory=Workload)
    judged: float = 0.0
    busy_seconds: float = 0.0
    full_seconds: float = 0.0
    in_flight: float = 0.0
    leaves_at: float = math.inf
    leaves_with: float | None = None


@dataclass(frozen=True, slots=True)
class Telling:
    """What the workers' metrics add up to."""

    backlog_gpu_seconds: float
    in_flight: float


class Fleet:
    """All replicas, and the topic they judge.

    Args:
        replicas: that run from the beginning.
    """

    def __init__(self, partitions: int, replicas: int, engine: Engine, habits: Habits) -> None:
        self.queues = [PartitionQueue() for _ in range(partitions)]
        self.gpu_seconds = 0.0
        self.rebalances = 0
        self._engine = engine
        self._habits = habits
        self._resting_until = -math.inf
        self._workers = [Worker(-math.inf, joined=True) for _ in range(replicas)]
        self._share_out()

    @property
    def lag(self) -> float:
        """Records without an outcome."""
        return sum(queue.records for queue in self.queues)

    @property
    def joined(self) -> int:
        """Workers that judge."""
        return sum(worker.joined for worker in self._workers)

    def scale(self, replicas: int, now: float) -> None:
        """Start or end workers; those that do not judge yet are the first to go."""
        staying = [worker for worker in self._workers if worker.leaves_with is None]
        for _ in range(replicas - len(staying)):
            self._workers.append(Worker(now + self._habits.start_seconds))
        surplus = sorted(staying, key=lambda worker: (worker.joined, -worker.joins_at))
        for worker in surplus[: max(len(staying) - replicas, 0)]:
            if worker.joined:
                worker.leaves_at = now + self._habits.drain_seconds
                worker.leaves_with = worker.in_flight
            else:
                self._workers.remove(worker)

    def step(self, now: float, seconds: float) -> list[Cohort]:
        """Let time pass; what got an outcome."""
        self._come_and_go(now)
        self.gpu_seconds += len(self._workers) * seconds
        resting = now < self._resting_until
        done: list[Cohort] = []
        for worker in self._workers:
            if worker.joined:
                done += self._judge(worker, seconds, resting=resting)
        return done

    def tell(self, now: float) -> Telling:
        """Look at the workers as they look at themselves; in a rebalance they hold nothing."""
        backlog = 0.0
        for worker in self._workers:
            if not worker.joined:
                continue
            worker.workload.observe(
                Counts(worker.judged, worker.judged, worker.busy_seconds, worker.full_seconds)
            )
            if now >= self._resting_until:
                lag = sum(queue.records for queue in worker.queues)
                backlog += worker.workload.gpu_seconds(lag)
        return Telling(backlog, sum(worker.in_flight for worker in self._workers))

    def _judge(self, worker: Worker, seconds: float, *, resting: bool) -> Iterable[Cohort]:
        places = float(self._engine.places)
        if worker.leaves_with is not None:
            places = min(places, worker.leaves_with)
        given = shares(places, [queue.records for queue in worker.queues])
        worker.in_flight = 0.0 if resting else sum(given)
        if not worker.in_flight:
            return []
        worker.busy_seconds += seconds * -math.expm1(-worker.in_flight)
        worker.full_seconds += seconds * min(worker.in_flight / self._engine.places, 1.0)
        work = self._engine.speed(worker.in_flight) * seconds
        done = []
        for queue, share in zip(worker.queues, given, strict=True):
            most = share if worker.leaves_with is not None else math.inf
            done += queue.work(work * share / worker.in_flight, most)
        judged = sum(cohort.records for cohort in done)
        worker.judged += judged
        if worker.leaves_with is not None:
            worker.leaves_with -= judged
        return done

    def _come_and_go(self, now: float) -> None:
        gone = [
            worker
            for worker in self._workers
            if worker.leaves_with is not None
            and (worker.leaves_with < 0.5 or now >= worker.leaves_at)
        ]
        come = [worker for worker in self._workers if not worker.joined and now >= worker.joins_at]
        for worker in come:
            worker.joined = True
        self._workers = [worker for worker in self._workers if worker not in gone]
        if gone or come:
            self.rebalances += 1
            self._resting_until = now + self._habits.rebalance_seconds
            self._share_out()

    def _share_out(self) -> None:
        """Eager: the current members share all partitions, as evenly as possible."""
        members = [worker for worker in self._workers if worker.joined]
        staying = [worker for worker in members if worker.leaves_with is None] or members
        for worker in members:
            worker.queues = []
        for number, queue in enumerate(self.queues):
            staying[number % len(staying)].queues.append(queue)
