"""The change of a worker's metrics between two snapshots."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.operator.top.distributions import Distribution
from worker.operator.top.scrapes import Labels, Snapshot, values_of
from worker.telemetry.metric import Metric


@dataclass(frozen=True, slots=True)
class Change:
    """Two snapshots of one worker; `earlier` is None if there is only one."""

    earlier: Snapshot | None
    later: Snapshot

    @property
    def seconds(self) -> float:
        """The time between the snapshots."""
        return self.later.at - self.earlier.at if self.earlier else 0.0

    def increase(self, metric: Metric) -> float | None:
        """The increase of a counter over all labels; None with one snapshot.

        A counter that is missing in the response has not counted anything yet.
        """
        return sum(self._grown(metric.series[0]).values()) if self.seconds else None

    def increases(self, metric: Metric, *names: str) -> dict[tuple[str, ...], float]:
        """The increase of a counter by these labels."""
        sums: dict[tuple[str, ...], float] = {}
        for labels, amount in self._grown(metric.series[0]).items():
            key = values_of(labels, *names)
            sums[key] = sums.get(key, 0.0) + amount
        return sums

    def rate(self, metric: Metric) -> float | None:
        """The increase of a counter per second."""
        increase = self.increase(metric)
        return None if increase is None else increase / self.seconds

    def distributions(self, metric: Metric, name: str = "") -> dict[str, Distribution]:
        """The new observations of a histogram, by the label `name`."""
        if not self.seconds:
            return {}
        buckets, _, total = metric.series
        before, after = _histograms(self._base, buckets), _histograms(self.later, buckets)
        sums_before, sums_after = self._base.samples(total), self.later.samples(total)
        parts: dict[str, list[Distribution]] = {}
        for labels, counts in after.items():
            old, observed = before.get(labels, {}), sums_after.get(labels, 0.0)
            if any(count < old.get(bound, 0.0) for bound, count in counts.items()):
                # one bucket decreased: the histogram was reset
                made = Distribution.of_cumulative(counts, observed)
            else:
                made = Distribution.of_cumulative(
                    {bound: count - old.get(bound, 0.0) for bound, count in counts.items()},
                    max(0.0, observed - sums_before.get(labels, 0.0)),
                )
            parts.setdefault(values_of(labels, name)[0], []).append(made)
        return {label: Distribution.sum_of(some) for label, some in parts.items()}

    def distribution(self, metric: Metric) -> Distribution:
        """The new observations of a histogram, over all labels."""
        return Distribution.sum_of(self.distributions(metric).values())

    @property
    def _base(self) -> Snapshot:
        """The snapshot to compare with: an empty one if the process was restarted."""
        if self.earlier is None or self.earlier.started != self.later.started:
            return Snapshot(self.later.at, {})
        return self.earlier

    def _grown(self, series: str) -> dict[Labels, float]:
        if not self.seconds:
            return {}
        before = self._base.samples(series)
        return {
            # a counter that decreased was reset
            labels: value - before.get(labels, 0.0) if value >= before.get(labels, 0.0) else value
            for labels, value in self.later.samples(series).items()
        }


def _histograms(snapshot: Snapshot, series: str) -> Mapping[Labels, dict[float, float]]:
    found: dict[Labels, dict[float, float]] = {}
    for labels, value in snapshot.samples(series).items():
        if bound := values_of(labels, "le")[0]:
            rest = frozenset(pair for pair in labels if pair[0] != "le")
            found.setdefault(rest, {})[float(bound)] = value
    return found
