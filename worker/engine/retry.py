"""Bounded retries.

Exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015): the
pause before the next attempt is uniform between zero and a bound that doubles, so that workers
that failed at the same time do not retry at the same time.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from worker.domain.errors import Retriable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The number of attempts and the pauses between them.

    Attributes:
        attempts: calls in total, the first included.
        base_seconds: upper bound of the first pause.
        cap_seconds: upper bound of any pause.
    """

    attempts: int = 3
    base_seconds: float = 0.2
    cap_seconds: float = 5.0

    def pause_seconds(self, failures: int, uniform: float) -> float:
        """The pause after `failures` failed attempts; `uniform` is a random number in [0, 1)."""
        # min() before the power: a large count would overflow the float
        return uniform * min(self.cap_seconds, self.base_seconds * 2.0 ** min(failures - 1, 60))


async def retrying(
    call: Callable[[], Awaitable[T]],
    *,
    policy: RetryPolicy,
    sleep: Callable[[float], Awaitable[None]],
    uniform: Callable[[], float],
) -> T:
    """The result of `call`, retried while it raises `Retriable` and attempts remain.

    Raises:
        Retriable: the failure of the last attempt.
    """
    failures = 0
    while True:
        try:
            return await call()
        except Retriable:
            failures += 1
            if failures >= policy.attempts:
                raise
            await sleep(policy.pause_seconds(failures, uniform()))
