"""The outcomes of records: verdicts, dead letters and tombstones, made and counted."""

import dataclasses
import logging
from collections import Counter

from opentelemetry.trace import Span

from worker.domain.errors import RecordError, VerdictTooLarge
from worker.domain.outcomes import Destinations, Outcome
from worker.domain.ports import Clock
from worker.domain.records import Record
from worker.domain.verdicts import Verdict
from worker.flow.judge import PreparedRecord
from worker.telemetry import Telemetry

logger = logging.getLogger(__name__)


class Outcomes:
    """Makes the outcome of each record.

    Attributes:
        counts: how many of each kind.
    """

    def __init__(self, destinations: Destinations, telemetry: Telemetry, clock: Clock) -> None:
        self._destinations = destinations
        self._telemetry = telemetry
        self._clock = clock
        self.counts: Counter[str] = Counter()

    def verdict(self, prepared: PreparedRecord, verdict: Verdict, admitted_at: float) -> Outcome:
        """The outcome of a record that was judged.

        Raises:
            VerdictTooLarge: its topic does not take it.
        """
        record, topic = prepared.record, self._destinations.verdict_topic
        span, trace = self._telemetry.sending(record, topic)
        outgoing = self._destinations.verdict(record, verdict, trace)
        self._telemetry.judged(record, verdict, taken_at=prepared.taken_at, admitted_at=admitted_at)
        self.counts["verdict"] += 1
        return Outcome(record, "verdict", (outgoing,), self._clock.now(), span)

    def dead_letter(
        self, record: Record, error: RecordError, taken_at: float, process: Span
    ) -> Outcome:
        """The outcome of a record that cannot be judged; `process` is the span of its work."""
        self._telemetry.dead_lettered(error, taken_at, process)
        span, _ = self._telemetry.sending(record, self._destinations.dead_letter_topic)
        self.counts["dead_letter"] += 1
        _log(error)
        outgoing = self._destinations.dead_letter(record, error)
        return Outcome(record, "dead_letter", (outgoing,), self._clock.now(), span, error)

    def tombstone(self, record: Record, taken_at: float) -> Outcome:
        """The outcome of a record without a value: nothing is sent."""
        self.counts["tombstone"] += 1
        return Outcome(record, "tombstone", (), taken_at)

    def rebuild(self, outcome: Outcome) -> Outcome:
        """The outcome of the same record, by what its topic takes now."""
        error = outcome.error
        if outcome.kind == "verdict":
            try:
                for outgoing in outcome.outgoing:
                    self._destinations.require_fit(outgoing)
            except VerdictTooLarge as too_large:
                error = too_large
            else:
                return outcome
            self._telemetry.replaced(error)
            self.counts.update(verdict=-1, dead_letter=1)
            _log(error)
        if error is None:
            return outcome
        outgoing = self._destinations.dead_letter(outcome.record, error)
        return dataclasses.replace(outcome, kind="dead_letter", outgoing=(outgoing,), error=error)


def _log(error: RecordError) -> None:
    logger.info("Dead letter (%s): %s", type(error).__name__, error)
