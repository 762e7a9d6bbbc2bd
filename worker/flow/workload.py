"""How much work the lag is: in seconds of this worker, and in seconds of its GPUs.

Pure; its caller passes the counts at intervals. An engine batches: the fuller it is, the less of
its time a record takes. So only an interval in which it was full measures what a record costs; one
in which it was not bounds that from above. The same holds for the rate, from below.
"""

import math
from dataclasses import dataclass

_SMOOTHING_SECONDS = 120.0
# what was done in less does not measure a rate
_LEAST_SECONDS = 0.001
_FULL = 0.8


@dataclass(slots=True)
class EngineTime:
    """How long the engine has had work.

    Attributes:
        busy_seconds: time with at least one record in flight.
        full_seconds: the same, each moment weighted by how full the engine was, 0 to 1.
        counted_at: until when, monotonic seconds.
        records: how many came back.
    """

    busy_seconds: float = 0.0
    full_seconds: float = 0.0
    counted_at: float = 0.0
    records: int = 0

    def count(self, now: float, fullness: float) -> None:
        """The engine has been this full, 0 to 1, since the last count."""
        elapsed = now - self.counted_at
        self.busy_seconds += elapsed
        self.full_seconds += elapsed * fullness
        self.counted_at = now

    def skip(self, now: float) -> None:
        """The engine has been idle since the last count."""
        self.counted_at = now


@dataclass(frozen=True, slots=True)
class Counts:
    """What has grown since the worker started.

    Attributes:
        judged: records that came back from the engine.
        settled: records with a durable outcome.
        busy_seconds: as in `EngineTime`.
        full_seconds: as in `EngineTime`.
    """

    judged: int
    settled: int
    busy_seconds: float
    full_seconds: float


class Workload:
    """Keeps the rate and the cost of a record at a full engine.

    Args:
        devices: GPUs that the engine runs on.
    """

    def __init__(self, devices: int = 1) -> None:
        self._devices = devices
        self._last: Counts | None = None
        self._rate: float | None = None
        self._cost: float | None = None

    def observe(self, counts: Counts) -> None:
        """Take new counts; intervals without work are ignored."""
        last, self._last = self._last, counts
        if last is None:
            return
        busy = counts.busy_seconds - last.busy_seconds
        if busy < _LEAST_SECONDS:
            return
        full = counts.full_seconds - last.full_seconds >= _FULL * busy
        weight = 1 - math.exp(-busy / _SMOOTHING_SECONDS)
        rate = (counts.settled - last.settled) / busy
        if self._rate is None:
            self._rate = rate
        else:
            self._rate = _smooth(self._rate, rate, weight) if full else max(self._rate, rate)
        if judged := counts.judged - last.judged:
            cost = busy * self._devices / judged
            if self._cost is None:
                self._cost = cost
            else:
                self._cost = _smooth(self._cost, cost, weight) if full else min(self._cost, cost)

    def lag_seconds(self, lag: int) -> float:
        """Time for so many records at the rate known; infinite when nothing moves."""
        if not lag:
            return 0.0
        return lag / self._rate if self._rate else math.inf

    def gpu_seconds(self, lag: int) -> float:
        """GPU time for so many records; 0 while none was judged yet."""
        return lag * self._cost if self._cost else 0.0


def _smooth(before: float, now: float, weight: float) -> float:
    return before + weight * (now - before)
