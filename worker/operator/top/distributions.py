"""Histograms and their percentiles."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Distribution:
    """The number of observations in each bucket.

    Attributes:
        counts: by upper bound, of this bucket alone.
        total: the sum of the observed values.
    """

    counts: Mapping[float, float] = field(default_factory=dict)
    total: float = 0.0

    @classmethod
    def of_cumulative(cls, buckets: Mapping[float, float], total: float) -> "Distribution":
        """From the cumulative buckets of Prometheus."""
        counts: dict[float, float] = {}
        below = 0.0
        for bound in sorted(buckets):
            counts[bound] = max(0.0, buckets[bound] - below)
            below = max(below, buckets[bound])
        return cls(counts, total)

    @classmethod
    def sum_of(cls, parts: Iterable["Distribution"]) -> "Distribution":
        """The sum of several distributions."""
        counts: dict[float, float] = {}
        total = 0.0
        for part in parts:
            total += part.total
            for bound, count in part.counts.items():
                counts[bound] = counts.get(bound, 0.0) + count
        return cls(counts, total)

    @property
    def count(self) -> float:
        """The number of observations."""
        return sum(self.counts.values())

    @property
    def highest(self) -> float | None:
        """The greatest finite bound: no quantile is above it."""
        return max((bound for bound in self.counts if math.isfinite(bound)), default=None)

    def quantile(self, q: float) -> float | None:
        """The quantile `q`, calculated like `histogram_quantile` of Prometheus.

        Assumes a uniform distribution within a bucket. None without observations.
        """
        rank = q * self.count
        highest = self.highest
        if not self.count or highest is None:
            return None
        below, lower = 0.0, 0.0
        for bound in sorted(self.counts):
            inside = self.counts[bound]
            if inside and below + inside >= rank and math.isfinite(bound):
                if bound <= 0:
                    return bound
                return lower + (bound - lower) * min(1.0, max(0.0, (rank - below) / inside))
            below, lower = below + inside, max(0.0, bound)
        return highest


@dataclass(frozen=True, slots=True)
class Percentiles:
    """A distribution in three numbers; a value that equals `highest` may be greater."""

    p50: float | None
    p95: float | None
    p99: float | None
    highest: float | None

    @classmethod
    def of(cls, distribution: Distribution) -> "Percentiles":
        """The percentiles of a distribution; None without observations."""
        quantile = distribution.quantile
        return cls(quantile(0.5), quantile(0.95), quantile(0.99), distribution.highest)
