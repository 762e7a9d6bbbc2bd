"""The circuit breaker: distinguishes failures of single records from a failure of the engine.

When the engine fails on nearly all records (it is down, or a bad deployment), dead letters would be
wrong: the complete topic would become dead letters. The breaker then opens and all records wait.
One at a time is sent as a probe, after pauses that double, until one succeeds. Pure: the caller
passes the time (monotonic seconds).
"""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When the breaker opens, and how often it probes.

    Attributes:
        max_failed_run: consecutive failures.
        max_failed_share: of the last `window_records`, once there are that many.
        cool_seconds: the first pause before a probe; it doubles up to `max_cool_seconds`.
    """

    max_failed_run: int = 20
    max_failed_share: float = 0.5
    window_records: int = 100
    cool_seconds: float = 1.0
    max_cool_seconds: float = 30.0


class CircuitBreaker:
    """Closed while records succeed; open after too many failures of the engine."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._failed: deque[bool] = deque(maxlen=policy.window_records)
        self._run = 0
        self._cool_seconds = 0.0
        self._probe_at: float | None = None  # None while closed
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether records must wait."""
        return self._probe_at is not None

    def enter(self, now: float) -> float:
        """Request to judge a record: 0 if allowed, else seconds to wait before the next request.

        While open, only a probe is allowed: no other record until the pause is over.
        """
        if self._probe_at is None:
            return 0.0
        if now < self._probe_at:
            return self._probe_at - now
        self._probing = True
        self._probe_at = now + self._cool_seconds
        return 0.0

    def succeeded(self) -> None:
        """A record was judged: an open breaker closes."""
        self._run = 0
        if self.is_open:
            self._failed.clear()
            self._probe_at = None
            self._probing = False
        self._failed.append(False)

    def failed(self, now: float) -> bool:
        """The engine failed on a record; returns whether the breaker is open now."""
        self._run += 1
        self._failed.append(True)
        if self.is_open:
            # without a probe, the record was sent to the engine before the breaker opened
            if self._probing:
                self._cool_seconds = min(2 * self._cool_seconds, self._policy.max_cool_seconds)
                self._probe_at = now + self._cool_seconds
                self._probing = False
        elif self._run >= self._policy.max_failed_run or self._share_exceeded():
            self._cool_seconds = self._policy.cool_seconds
            self._probe_at = now + self._cool_seconds
        return self.is_open

    def _share_exceeded(self) -> bool:
        full = len(self._failed) == self._policy.window_records
        return full and sum(self._failed) > self._policy.max_failed_share * len(self._failed)
