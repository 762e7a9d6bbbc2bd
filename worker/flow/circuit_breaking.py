"""Judging behind a circuit breaker: while the engine fails on all records, none fails for it."""

import logging
from collections.abc import Callable, Sequence

from worker.domain.errors import RecordError
from worker.domain.ports import Clock
from worker.domain.records import Record
from worker.domain.verdicts import Verdict
from worker.engine.circuit_breaker import BreakerPolicy, CircuitBreaker
from worker.flow.judge import Judge, Preparation, PreparedRecord
from worker.telemetry import Telemetry, names

logger = logging.getLogger(__name__)

# how soon a record that waits notices that its outcome is no longer wanted
_POLL_SECONDS = 1.0


class CircuitBreakingJudge:
    """A judge that waits while the circuit breaker is open."""

    def __init__(self, judge: Judge, policy: BreakerPolicy, clock: Clock) -> None:
        self._judge = judge
        self._breaker = CircuitBreaker(policy)
        self._clock = clock

    def register_gauges(self, telemetry: Telemetry) -> None:
        """Report whether the circuit breaker is open."""
        telemetry.watch(names.BREAKER_OPEN, lambda: self._breaker.is_open)

    @property
    def trouble(self) -> str | None:
        """Why no record is judged at the moment, if that is so."""
        if not self._breaker.is_open:
            return None
        return "The engine fails on too many records; waiting for it to recover."

    async def prepare(self, records: Sequence[Record]) -> list[Preparation]:
        """Each record, prepared; in order."""
        return await self._judge.prepare(records)

    async def judge(
        self, prepared: PreparedRecord, *, wanted: Callable[[], bool]
    ) -> Verdict | None:
        """The verdict; None when the record was dropped because it is no longer wanted.

        Raises:
            RecordError: this record cannot be judged, and others can.
            Fatal: no record can.
        """
        while True:
            while wait := self._breaker.enter(self._clock.monotonic()):
                await self._clock.sleep(min(wait, _POLL_SECONDS))
                if not wanted():
                    return None
            try:
                verdict = await self._judge.judge(prepared)
            except RecordError as error:
                if not error.is_engine_failure:
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
