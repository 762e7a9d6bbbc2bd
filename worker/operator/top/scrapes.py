"""One response of `/metrics`, parsed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from prometheus_client.parser import text_string_to_metric_families

from worker.domain.errors import GuardstreamError
from worker.telemetry.metric import Metric
from worker.telemetry.names import INFO, METRICS

# metrics of vLLM, in the same response
RUNNING = "vllm:num_requests_running"
WAITING = "vllm:num_requests_waiting"
KV_CACHE_USED = "vllm:kv_cache_usage_perc"
# of prometheus_client; a new value means a new process
PROCESS_START = "process_start_time_seconds"

_READ = frozenset(
    {RUNNING, WAITING, KV_CACHE_USED, PROCESS_START, *(s for m in METRICS for s in m.series)}
)
# larger than any real value; sums of smaller values stay finite
_MAX = 1e18

Labels = frozenset[tuple[str, str]]
_NOTHING: Mapping[Labels, float] = MappingProxyType({})


class Unreadable(GuardstreamError):  # noqa: N818
    """A worker cannot be reached, or its response cannot be parsed."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The metrics of a worker at one time.

    Attributes:
        at: the time, on the monotonic clock of this process.
        series: values by name and labels.
    """

    at: float
    series: Mapping[str, Mapping[Labels, float]]

    def samples(self, name: str) -> Mapping[Labels, float]:
        """The values of a series by their labels."""
        return self.series.get(name, _NOTHING)

    def total(self, metric: Metric | str) -> float | None:
        """The sum over all labels; None if the worker does not report it."""
        values = self.samples(_series(metric))
        return sum(values.values()) if values else None

    def largest(self, metric: Metric | str) -> float | None:
        """The greatest value over all labels; None if the worker does not report it."""
        return max(self.samples(_series(metric)).values(), default=None)

    def by(self, metric: Metric, *labels: str) -> dict[tuple[str, ...], float]:
        """The sums by these labels."""
        sums: dict[tuple[str, ...], float] = {}
        for found, value in self.samples(_series(metric)).items():
            key = values_of(found, *labels)
            sums[key] = sums.get(key, 0.0) + value
        return sums

    @property
    def started(self) -> float | None:
        """The start of the process, in Unix seconds."""
        return self.total(PROCESS_START)


def read_metrics(text: str, at: float) -> Snapshot:
    """The metrics that the console shows.

    Raises:
        Unreadable: the text is not the metrics of a worker.
    """
    # most lines are vLLM's histograms, and parsing is slow
    wanted = "".join(f"{line}\n" for line in text.split("\n") if _name(line) in _READ)
    series: dict[str, dict[Labels, float]] = {}
    try:
        for family in text_string_to_metric_families(wanted):
            for sample in family.samples:
                value = float(sample.value)
                if abs(value) < _MAX and _is_bound(sample.labels.get("le", "0")):
                    series.setdefault(sample.name, {})[frozenset(sample.labels.items())] = value
    except ValueError as error:
        raise Unreadable("its /metrics is not in Prometheus' text format") from error
    if INFO.base not in series:
        raise Unreadable("its /metrics is not a Guardstream worker's")
    return Snapshot(at, series)


def values_of(labels: Labels, *names: str) -> tuple[str, ...]:
    """The values of these labels; an empty string for a missing one."""
    found = dict(labels)
    return tuple(found.get(name, "") for name in names)


def _series(metric: Metric | str) -> str:
    return metric if isinstance(metric, str) else metric.series[0]


def _name(line: str) -> str:
    return line.partition("{")[0].partition(" ")[0]


def _is_bound(text: str) -> bool:
    return not math.isnan(float(text))
