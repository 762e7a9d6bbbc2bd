"""Histograms: what fell into which bucket, and the percentiles that follow."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Distribution:
    """How many observations fell into each bucket.

    Attributes:
        counts: by the bucket's upper bound, of this bucket alone.
        total: the sum of what was observed.
    """

    counts: Mapping[float, float] = field(default_factory=dict)
    total: float = 0.0

    @classmethod
    def of_cumulative(cls, buckets: Mapping[float, float], total: float) -> "Distribution":
        """From buckets as Prometheus has them, each with all that are below it."""
        counts: dict[float, float] = {}
        below = 0.0
        for bound in sorted(buckets):
            counts[bound] = max(0.0, buckets[bound] - below)
            below = max(below, buckets[bound])
        return cls(counts, total)

    @classmethod
    def sum_of(cls, parts: Iterable["Distribution"]) -> "Distribution":
        """All observations of these together."""
        counts: dict[float, float] = {}
        total = 0.0
        for part in parts:
            total += part.total
            for bound, count in part.counts.items():
                counts[bound] = counts.get(bound, 0.0) + count
        return cls(counts, total)

    @property
    def count(self) -> float:
        """How many were observed."""
        return sum(self.counts.values())

    @property
    def highest(self) -> float | None:
        """The greatest bound that is a number: no quantile lies above it."""
        return max((bound for bound in self.counts if math.isfinite(bound)), default=None)

    def quantile(self, q: float) -> float | None:
        """The value that the share `q` stays below, as Prometheus' `histogram_quantile`.

        Within a bucket the observations are taken to lie evenly. None without any.
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
