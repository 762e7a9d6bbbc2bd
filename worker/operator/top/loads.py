"""The load of one or several workers, and whether they keep up."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from worker.operator.top.changes import Change
from worker.operator.top.distributions import Distribution, Percentiles
from worker.operator.top.scrapes import KV_CACHE_USED, RUNNING, WAITING
from worker.telemetry import attributes, names
from worker.telemetry.metric import Metric, label_name

_TOKEN_TYPE = label_name(attributes.TOKEN_TYPE)


@dataclass(frozen=True, slots=True)
class Load:
    """The figures of one worker or of several; None if not reported, or not known yet.

    Attributes:
        lag_seconds: the maximum over workers.
        busy_share: of the time, with prompts in flight; the mean over workers.
        kv_share: of the key-value cache in use; the maximum over engines.
        cached_share: of the prompt tokens, found in the prefix cache.
        loop_lag_seconds: delay of the event loop; the maximum over workers.
        restarts: since the workers started.
    """

    lag_records: float | None
    lag_seconds: float | None
    received_per_second: float | None
    settled_per_second: float | None
    age: Percentiles
    queued_records: float | None
    queued_seconds: float | None
    unsettled_records: float | None
    partitions_held: float | None
    partitions_paused: float | None
    busy_share: float | None
    in_flight: float | None
    in_flight_limit: float | None
    input_tokens_per_second: float | None
    output_tokens_per_second: float | None
    cached_share: float | None
    running: float | None
    waiting: float | None
    kv_share: float | None
    restarts: float | None
    backlog_gpu_seconds: float | None
    loop_lag_seconds: float | None


@dataclass(frozen=True, slots=True)
class Flow:
    """Records per second in and out; `at` is the monotonic time of the scrape."""

    at: float
    received: float
    settled: float


def flow_of(changes: Sequence[Change]) -> Flow | None:
    """The flow through these workers; None before the second scrape."""
    received = _over(sum, (change.rate(names.CONSUMED) for change in changes))
    settled = _over(sum, (change.rate(names.OUTCOMES) for change in changes))
    if received is None or settled is None:
        return None
    return Flow(max(change.later.at for change in changes), received, settled)


def measure(changes: Sequence[Change]) -> Load:
    """The load of these workers."""

    def total(metric: Metric | str) -> float | None:
        return _over(sum, (change.later.total(metric) for change in changes))

    def largest(metric: Metric | str) -> float | None:
        return _over(max, (change.later.largest(metric) for change in changes))

    def rate(metric: Metric) -> float | None:
        return _over(sum, (change.rate(metric) for change in changes))

    tokens = [change.distributions(names.TOKEN_USAGE, _TOKEN_TYPE) for change in changes]

    def tokens_per_second(kind: str) -> float | None:
        rates = (
            used.get(kind, Distribution()).total / change.seconds if change.seconds else None
            for change, used in zip(changes, tokens, strict=True)
        )
        return _over(sum, rates)

    prompt_tokens = sum(used["input"].total for used in tokens if "input" in used)
    cached = _over(sum, (change.increase(names.TOKENS_CACHED) for change in changes))
    busy = [share for change in changes if (share := change.rate(names.ENGINE_BUSY)) is not None]
    ages = Distribution.sum_of(change.distribution(names.VERDICT_AGE) for change in changes)
    return Load(
        lag_records=total(names.LAG_RECORDS),
        lag_seconds=largest(names.LAG_TIME),
        received_per_second=rate(names.CONSUMED),
        settled_per_second=rate(names.OUTCOMES),
        age=Percentiles.of(ages),
        queued_records=total(names.QUEUED_RECORDS),
        queued_seconds=largest(names.QUEUED_AGE),
        unsettled_records=total(names.UNSETTLED),
        partitions_held=total(names.PARTITIONS_HELD),
        partitions_paused=total(names.PARTITIONS_PAUSED),
        # can exceed 1: the clocks of the worker and of this process are read at different times
        busy_share=sum(min(1.0, share) for share in busy) / len(busy) if busy else None,
        in_flight=total(names.IN_FLIGHT),
        in_flight_limit=total(names.IN_FLIGHT_LIMIT),
        input_tokens_per_second=tokens_per_second("input"),
        output_tokens_per_second=tokens_per_second("output"),
        cached_share=min(1.0, cached / prompt_tokens)
        if cached is not None and prompt_tokens
        else None,
        running=total(RUNNING),
        waiting=total(WAITING),
        kv_share=largest(KV_CACHE_USED),
        restarts=total(names.ENGINE_RESTARTS),
        backlog_gpu_seconds=total(names.BACKLOG),
        loop_lag_seconds=largest(names.LOOP_LAG),
    )


def _over(
    combine: Callable[[Iterable[float]], float], values: Iterable[float | None]
) -> float | None:
    known = [value for value in values if value is not None]
    return combine(known) if known else None
