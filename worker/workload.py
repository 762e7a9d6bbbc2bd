"""How much work the lag is: in seconds of this worker, and in seconds of its GPUs.

Pure; its caller tells it the counts at intervals. What a record costs is measured, as engine time
over records judged, and smoothed over the last minutes: it holds for prompts as they have been.
"""

import math
from dataclasses import dataclass

_SMOOTHING_SECONDS = 120.0
# what was done in less says nothing of a rate
_LEAST_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Counts:
    """What has grown since the worker started.

    Attributes:
        judged: records that came back from the engine.
        settled: records with a durable outcome.
        busy_seconds: time with at least one prompt at the engine.
    """

    judged: int
    settled: int
    busy_seconds: float


class Workload:
    """Keeps the recent rate and the recent cost of a record.

    Args:
        devices: GPUs that the engine runs on.
    """

    def __init__(self, devices: int = 1) -> None:
        self._devices = devices
        self._last: Counts | None = None
        self._rate: float | None = None
        self._cost: float | None = None

    def observe(self, counts: Counts) -> None:
        """Take new counts; intervals without work say nothing of either."""
        last, self._last = self._last, counts
        if last is None:
            return
        judged, busy = counts.judged - last.judged, counts.busy_seconds - last.busy_seconds
        if busy < _LEAST_SECONDS:
            return
        weight = 1 - math.exp(-busy / _SMOOTHING_SECONDS)
        self._rate = _smooth(self._rate, (counts.settled - last.settled) / busy, weight)
        if judged:
            self._cost = _smooth(self._cost, busy * self._devices / judged, weight)

    def lag_seconds(self, lag: int) -> float:
        """Time for so many records at the recent rate; infinite when nothing moves."""
        if not lag:
            return 0.0
        return lag / self._rate if self._rate else math.inf

    def gpu_seconds(self, lag: int) -> float:
        """GPU time for so many records; 0 while none was judged yet."""
        return lag * self._cost if self._cost else 0.0


def _smooth(before: float | None, now: float, weight: float) -> float:
    return now if before is None else before + weight * (now - before)
