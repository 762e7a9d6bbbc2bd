"""Judging behind a breaker: when the engine fails on everybody, wait for it and bury nobody."""

import logging
from collections.abc import Callable

from worker.domain.errors import RecordError
from worker.domain.ports import Clock
from worker.domain.verdicts import Verdict
from worker.engine.circuit_breaker import BreakerPolicy, CircuitBreaker
from worker.flow.judge import Judge, PreparedRecord

logger = logging.getLogger(__name__)

# how soon a record that waits sees that it is wanted no more
_POLL_SECONDS = 1.0


class CircuitBreakingJudge:
    """A judge who waits while the breaker is open."""

    def __init__(self, judge: Judge, policy: BreakerPolicy, clock: Clock) -> None:
        self._judge = judge
        self._breaker = CircuitBreaker(policy)
        self._clock = clock

    @property
    def trouble(self) -> str | None:
        """Why nobody is judged at the moment, if that is so."""
        if not self._breaker.is_open:
            return None
        return "The engine fails on too many records; waiting for it to recover."

    async def judge(self, case: PreparedRecord, *, wanted: Callable[[], bool]) -> Verdict | None:
        """The verdict; None when the case was given up because nobody wants it any more.

        Raises:
            RecordError: this case cannot be judged, and that is not everybody's fate.
            Fatal: no case can.
        """
        while True:
            while wait := self._breaker.enter(self._clock.monotonic()):
                await self._clock.sleep(min(wait, _POLL_SECONDS))
                if not wanted():
                    return None
            try:
                verdict = await self._judge.judge(case)
            except RecordError as error:
                if not error.is_engines:
                    self._succeeded()  # the engine works, the record does not
                    raise
                if not self._failed(error):
                    raise
            else:
                self._succeeded()
                return verdict

    def _succeeded(self) -> None:
        if self._breaker.is_open:
            logger.info("The engine answers again.")
        self._breaker.succeeded()

    def _failed(self, error: RecordError) -> bool:
        was_open = self._breaker.is_open
        is_open = self._breaker.failed(self._clock.monotonic())
        if is_open and not was_open:
            logger.warning("The engine fails on too many records: waiting. (%s)", error)
        return is_open
