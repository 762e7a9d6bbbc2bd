"""A day under one way of scaling, step by step."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.scaling.autoscaler import DOWN, UP, Autoscaler, Rules, Target, wish
from benchmarks.scaling.day import DAY_SECONDS, Arrivals, Script
from benchmarks.scaling.engine import Cohort, Engine
from benchmarks.scaling.fleet import Fleet, Habits, Telling

_STEP_SECONDS = 1.0
_SYNC_SECONDS = 15.0  # --horizontal-pod-autoscaler-sync-period
_TELL_SECONDS = 5.0  # how often workers measure their lag
_SCRAPE_SECONDS = 30.0  # Prometheus; its recording rules run as often
_KEEP_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What an autoscaler can know.

    Attributes:
        lag: by Kafka itself, now.
        told: by the workers, as Prometheus has it.
    """

    lag: float
    told: Telling


Measures = Callable[[WorkerStatus], Sequence[Target]]


@dataclass(frozen=True, slots=True)
class Scaling:
    """A way of scaling.

    Attributes:
        targets: what the metrics ask for; None where replicas are fixed at `most`.
    """

    name: str
    targets: Measures | None
    least: int
    most: int
    up: Rules = UP
    down: Rules = DOWN


@dataclass(frozen=True, slots=True)
class World:
    """What is the same for every way of scaling."""

    script: Script = field(default_factory=Script)
    engine: Engine = field(default_factory=Engine)
    habits: Habits = field(default_factory=Habits)
    partitions: int = 48
    seconds: float = DAY_SECONDS
    seed: int = 7


@dataclass(frozen=True, slots=True)
class FrameTime:
    """How things stood at the end of some minutes; `age_p99` of what got its outcome in them."""

    at: float
    replicas: int
    joined: int
    lag: float
    age_p99: float


@dataclass(slots=True)
class Day:
    """What came of it."""

    name: str
    moments: list[FrameTime] = field(default_factory=list)
    ages: Counter[int] = field(default_factory=Counter)
    came: float = 0.0
    went: float = 0.0
    left: float = 0.0
    gpu_hours: float = 0.0
    rebalances: int = 0
    changes: int = 0

    def age(self, share: float) -> float:
        """The age that so many outcomes did not exceed."""
        return _quantile(self.ages, share)

    def late_share(self, seconds: float) -> float:
        """Share of outcomes that came later."""
        late = sum(n for step, n in self.ages.items() if step * _STEP_SECONDS > seconds)
        return late / sum(self.ages.values())


def simulate(world: World, scaling: Scaling) -> Day:
    """Live through the day."""
    arrivals = Arrivals(world.script, world.partitions, world.seed)
    replicas = scaling.most if scaling.targets is None else scaling.least
    fleet = Fleet(world.partitions, replicas, world.engine, world.habits)
    autoscaler = Autoscaler(scaling.least, scaling.most, scaling.up, scaling.down)
    day = Day(scaling.name)
    told = fleet.tell(0.0)
    scraped: deque[Telling] = deque([told, told], maxlen=2)
    recent: Counter[int] = Counter()
    steps = round(world.seconds / _STEP_SECONDS)
    for number in range(steps):
        now = number * _STEP_SECONDS
        for queue, (records, cost) in zip(
            fleet.queues, arrivals.within(now, _STEP_SECONDS), strict=True
        ):
            queue.put(Cohort(now, records, cost))
            day.came += records
        for done in fleet.step(now, _STEP_SECONDS):
            day.went += done.records
            recent[round((now - done.arrived_at) / _STEP_SECONDS) + 1] += done.records
        if _every(_TELL_SECONDS, number):
            told = fleet.tell(now)
        if _every(_SCRAPE_SECONDS, number):
            # a rule sees the scrape before this one
            scraped.append(told)
        if scaling.targets is not None and _every(_SYNC_SECONDS, number):
            wished = wish(scaling.targets(WorkerStatus(fleet.lag, scraped[0])), replicas)
            decided = autoscaler.decide(now, replicas, wished)
            day.changes += decided != replicas
            replicas = decided
            fleet.scale(replicas, now)
        if _every(_KEEP_SECONDS, number + 1):
            age = _quantile(recent, 0.99) if recent else 0.0
            day.moments.append(FrameTime(now, replicas, fleet.joined, fleet.lag, age))
            day.ages += recent
            recent.clear()
    day.ages += recent
    day.left = fleet.lag
    day.gpu_hours = fleet.gpu_seconds / 3600
    day.rebalances = fleet.rebalances
    return day


def _every(seconds: float, number: int) -> bool:
    return number % round(seconds / _STEP_SECONDS) == 0


def _quantile(ages: Counter[int], share: float) -> float:
    rank, below = share * sum(ages.values()), 0.0
    for step in sorted(ages):
        below += ages[step]
        if below >= rank:
            return step * _STEP_SECONDS
    return 0.0
