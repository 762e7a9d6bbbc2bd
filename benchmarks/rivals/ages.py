"""What the records of a trial say: how fast they were judged, and how old each became."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Passed:
    """An event that came through, in Unix seconds.

    Attributes:
        arrived_at: the input record's timestamp.
        judged_at: when the broker appended the verdict.
        completion_tokens: what the guard wrote.
    """

    kind: str
    arrived_at: float
    judged_at: float
    completion_tokens: int

    @property
    def age(self) -> float:
        """Seconds from arrival to verdict."""
        return self.judged_at - self.arrived_at


def percentile(values: Sequence[float], share: float) -> float:
    """The least of the values that this share of them does not exceed."""
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def figures_of(passed: Sequence[Passed]) -> dict[str, Any]:
    """Of one trial: events/s from the first arrival to the last verdict, and ages by kind."""
    seconds = max(p.judged_at for p in passed) - min(p.arrived_at for p in passed)
    return {
        "events": len(passed),
        "events_per_second": round(len(passed) / seconds, 2),
        "completion_tokens": round(sum(p.completion_tokens for p in passed) / len(passed), 1),
        "ages": {
            kind: _ages([p for p in passed if p.kind == kind])
            for kind in sorted({p.kind for p in passed})
        },
    }


def _ages(passed: Sequence[Passed]) -> dict[str, float]:
    ages = [p.age for p in passed]
    last = max(p.judged_at for p in passed) - min(p.arrived_at for p in passed)
    return {
        "count": len(ages),
        "p50": round(percentile(ages, 0.5), 3),
        "p99": round(percentile(ages, 0.99), 3),
        "drained": round(last, 3),
    }
