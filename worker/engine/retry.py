"""Retries, in bounds.

Exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015): the
pause before a further attempt is uniform between zero and the doubled base, so that many workers
that failed together do not come back together.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from worker.domain.errors import Retriable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often to try, and how long to pause.

    Attributes:
        attempts: calls in all, the first included.
        base_seconds: upper bound of the first pause.
        cap_seconds: upper bound of any pause.
    """

    attempts: int = 3
    base_seconds: float = 0.2
    cap_seconds: float = 5.0

    def pause_seconds(self, failures: int, uniform: float) -> float:
        """The pause after `failures` failed attempts, for a draw `uniform` in [0, 1)."""
        # min() before the power keeps a large count from overflowing the float
        return uniform * min(self.cap_seconds, self.base_seconds * 2.0 ** min(failures - 1, 60))


async def retrying(
    call: Callable[[], Awaitable[T]],
    *,
    policy: RetryPolicy,
    sleep: Callable[[float], Awaitable[None]],
    uniform: Callable[[], float],
) -> T:
    """The result of `call`, tried again while it raises `Retriable` and attempts remain.

    Raises:
        Retriable: the last failure, once the attempts are used up.
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
