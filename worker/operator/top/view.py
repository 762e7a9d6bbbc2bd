"""The content of the console, aggregated from the status of each worker."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worker.domain.questions import in_order
from worker.operator.top.changes import Change
from worker.operator.top.distributions import Distribution, Percentiles
from worker.operator.top.loads import Load, measure
from worker.operator.top.recent import RecentVerdict
from worker.operator.top.scrapes import Snapshot, values_of
from worker.telemetry import attributes, names
from worker.telemetry.metric import Metric, label_name

STAGES = ("queue", "batch", "judge", "publish")
_ERROR = label_name(attributes.ERROR_TYPE)


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """The known status of one worker.

    Attributes:
        change: None while it cannot be read; `fault` is the reason.
        recent: its last verdicts; None if they cannot be read, `recent_fault` is the reason.
    """

    name: str
    change: Change | None = None
    fault: str | None = None
    recent: tuple[RecentVerdict, ...] | None = None
    recent_fault: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """The software and configuration of a worker."""

    version: str
    guard: str
    model: str
    engine: str
    guarantee: str
    group: str


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker; identity and load are None while it cannot be read."""

    name: str
    fault: str | None
    identity: Identity | None = None
    state: str = ""
    ready: bool = False
    breaker_open: bool = False
    uptime_seconds: float | None = None
    load: Load | None = None


@dataclass(frozen=True, slots=True)
class StageView:
    """A stage of processing; `share` is of the time of all stages."""

    stage: str
    times: Percentiles
    share: float


@dataclass(frozen=True, slots=True)
class Mix:
    """The labels of a task, as shares of the verdicts."""

    task: str
    shares: dict[str, float]


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Dead letters of one kind: since the workers started, and in the window."""

    stage: str
    error: str
    total: int
    lately: int


@dataclass(frozen=True, slots=True)
class PartitionView:
    """A partition as reported by its worker."""

    worker: str
    topic: str
    partition: str
    lag_records: float | None
    unsettled_records: float | None
    epoch: float | None


@dataclass(frozen=True, slots=True)
class View:
    """The content of a frame.

    Attributes:
        seconds: the window of rates, shares and percentiles; 0 after one scrape.
        load: of all readable workers; None if there are none.
        inconclusive_share: of the judgements; None without judgements.
        reasoned_share: of the judgements, the ones with reasoning; the others are scores alone.
        categories: the codes and how many verdicts have them; the most frequent first.
        flags: the most frequent first.
        decisions: shares of the actions of the policy, the most frequent first; none without one.
        shadow_differs: share of them for which the shadow policy has another action.
        policy_broken: whether a worker cannot use a policy's file.
        partitions: the greatest lag first.
        recent: newest first; None if no worker reports them.
    """

    seconds: float
    workers: tuple[WorkerView, ...]
    load: Load | None
    stages: tuple[StageView, ...]
    mixes: tuple[Mix, ...]
    inconclusive_share: float | None
    reasoned_share: float | None
    categories: tuple[tuple[str, int], ...]
    flags: tuple[tuple[str, int], ...]
    decisions: tuple[tuple[str, float], ...]
    shadow_differs: float | None
    policy_broken: bool
    dead_letters: tuple[DeadLetters, ...]
    partitions: tuple[PartitionView, ...]
    recent: tuple[RecentVerdict, ...] | None
    recent_fault: str | None


def view_of(seen: Sequence[WorkerStatus], now: float) -> View:
    """The view of these workers at the Unix time `now`."""
    changes = [one.change for one in seen if one.change]
    reported = [one.recent for one in seen if one.recent is not None]
    newest = sorted((v for some in reported for v in some), key=lambda v: v.judged_at, reverse=True)
    return View(
        seconds=max((change.seconds for change in changes), default=0.0),
        workers=tuple(_worker(one, now) for one in seen),
        load=measure(changes) if changes else None,
        stages=tuple(_stages(changes)),
        mixes=tuple(_mixes(changes)),
        inconclusive_share=_of_judgements(changes, names.JUDGEMENTS, "inconclusive"),
        reasoned_share=_of_judgements(changes, names.REASONED),
        categories=_counted(changes, names.CATEGORIES),
        flags=_counted(changes, names.FLAGS),
        decisions=tuple(_shares(changes, "acting").items()),
        shadow_differs=_shadow_differs(changes),
        policy_broken=any(change.later.total(names.POLICY_BROKEN) for change in changes),
        dead_letters=tuple(_dead_letters(changes)),
        partitions=tuple(_partitions(seen)),
        recent=tuple(newest) if reported else None,
        recent_fault=next((one.recent_fault for one in seen if one.recent_fault), None),
    )


def _worker(seen: WorkerStatus, now: float) -> WorkerView:
    if seen.change is None:
        return WorkerView(seen.name, seen.fault)
    snapshot = seen.change.later
    labels = next(iter(snapshot.samples(names.INFO.base)), frozenset())
    states = [state for (state,), on in snapshot.by(names.STATE, "state").items() if on]
    return WorkerView(
        name=seen.name,
        fault=None,
        identity=Identity(*values_of(labels, *names.INFO.labels)),
        state=", ".join(sorted(states)),
        ready=bool(snapshot.total(names.READY)),
        breaker_open=bool(snapshot.total(names.BREAKER_OPEN)),
        uptime_seconds=None if snapshot.started is None else max(0.0, now - snapshot.started),
        load=measure([seen.change]),
    )


def _stages(changes: Sequence[Change]) -> Iterable[StageView]:
    reported = [change.distributions(names.STAGE_DURATION, "stage") for change in changes]
    spent = {
        stage: Distribution.sum_of(some.get(stage, Distribution()) for some in reported)
        for stage in STAGES
    }
    all_spent = sum(distribution.total for distribution in spent.values())
    for stage, distribution in spent.items():
        share = distribution.total / all_spent if all_spent else 0.0
        yield StageView(stage, Percentiles.of(distribution), share)


def _mixes(changes: Sequence[Change]) -> Iterable[Mix]:
    found = _sums(changes, names.VERDICTS, "task", "label")
    for task in in_order(task for task, _ in found):
        counts = {label: count for (of, label), count in found.items() if of == task}
        total = sum(counts.values())
        yield Mix(task, {label: count / total for label, count in counts.items() if count})


def _of_judgements(changes: Sequence[Change], metric: Metric, *values: str) -> float | None:
    """The share of the judgements that a counter counts; None where there are no judgements."""
    total = sum(_sums(changes, names.JUDGEMENTS).values())
    counted = _sums(changes, metric, *metric.labels[: len(values)])
    return counted.get(values, 0.0) / total if total else None


def _decisions(changes: Sequence[Change], policy: str) -> dict[str, float]:
    """How often each action was decided, the most frequent first."""
    found = _ranked(changes, names.DECISIONS)
    return {action: count for (by, action), count in found if by == policy}


def _shares(changes: Sequence[Change], policy: str) -> dict[str, float]:
    counts = _decisions(changes, policy)
    return {action: count / sum(counts.values()) for action, count in counts.items()}


def _shadow_differs(changes: Sequence[Change]) -> float | None:
    decided = sum(_decisions(changes, "shadow").values())
    return sum(_sums(changes, names.DECISIONS_DIFFER).values()) / decided if decided else None


def _dead_letters(changes: Sequence[Change]) -> Iterable[DeadLetters]:
    lately = _sums(changes, names.DEAD_LETTERS, "stage", _ERROR)
    totals: dict[tuple[str, ...], float] = {}
    for change in changes:
        for key, value in change.later.by(names.DEAD_LETTERS, "stage", _ERROR).items():
            totals[key] = totals.get(key, 0.0) + value
    for (stage, error), total in sorted(totals.items(), key=lambda item: (-item[1], item[0])):
        yield DeadLetters(stage, error, round(total), round(lately.get((stage, error), 0.0)))


def _partitions(seen: Sequence[WorkerStatus]) -> Iterable[PartitionView]:
    rows = [row for one in seen if one.change for row in _held(one.name, one.change.later)]
    return sorted(rows, key=lambda row: (-(row.lag_records or 0), row.topic, row.partition))


def _held(worker: str, snapshot: Snapshot) -> Iterable[PartitionView]:
    lag, unsettled, epoch = (
        snapshot.by(metric, "topic", "partition")
        for metric in (names.LAG_RECORDS, names.UNSETTLED, names.EPOCH)
    )
    for key in lag | unsettled | epoch:
        topic, partition = key
        yield PartitionView(
            worker, topic, partition, lag.get(key), unsettled.get(key), epoch.get(key)
        )


def _counted(changes: Sequence[Change], metric: Metric) -> tuple[tuple[str, int], ...]:
    """The values of a metric's only label, with their rounded counts."""
    return tuple((name, round(count)) for (name,), count in _ranked(changes, metric))


def _ranked(changes: Sequence[Change], metric: Metric) -> Iterable[tuple[tuple[str, ...], float]]:
    found = _sums(changes, metric, *metric.labels).items()
    return sorted((item for item in found if item[1]), key=lambda item: (-item[1], item[0]))


def _sums(changes: Sequence[Change], metric: Metric, *labels: str) -> dict[tuple[str, ...], float]:
    sums: dict[tuple[str, ...], float] = {}
    for change in changes:
        for key, amount in change.increases(metric, *labels).items():
            sums[key] = sums.get(key, 0.0) + amount
    return sums
