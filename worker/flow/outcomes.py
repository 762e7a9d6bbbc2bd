"""The outcomes of records: verdicts with decisions, dead letters, tombstones, made and counted."""

import dataclasses
import logging
from collections import Counter
from collections.abc import Collection, Sequence

from opentelemetry.trace import Span

from worker.domain.errors import RecordError, VerdictTooLarge
from worker.domain.outcomes import Destinations, ExchangeOutcome, Outcome, OutcomeKind
from worker.domain.ports import Clock
from worker.domain.records import Headers, OutgoingRecord, Record
from worker.domain.verdicts import Verdict
from worker.flow.deciding import Deciding
from worker.flow.judge import PreparedRecord
from worker.telemetry import Telemetry
from worker.telemetry.tracing import carried

logger = logging.getLogger(__name__)


class Outcomes:
    """Makes the outcome of each record.

    Attributes:
        counts: how many of each kind.
    """

    def __init__(
        self,
        destinations: Destinations,
        telemetry: Telemetry,
        clock: Clock,
        deciding: Deciding,
    ) -> None:
        self._destinations = destinations
        self._deciding = deciding
        self._telemetry = telemetry
        self._clock = clock
        self.counts: Counter[str] = Counter()

    def verdict(self, prepared: PreparedRecord, verdict: Verdict, admitted_at: float) -> Outcome:
        """The outcome of a record that was judged.

        Raises:
            VerdictTooLarge: a topic does not take its record.
        """
        record, topic = prepared.record, self._destinations.verdict_topic
        span, trace = self._telemetry.sending(record, topic)
        outgoing = self._decided(prepared, verdict, trace, admitted_at)
        self.counts["verdict"] += 1
        return Outcome(record, "verdict", outgoing, self._clock.now(), span)

    def dead_letter(
        self, record: Record, error: RecordError, taken_at: float, process: Span
    ) -> Outcome:
        """The outcome of a record that cannot be judged; `process` is the span of its work."""
        self._telemetry.dead_lettered(error, taken_at, process)
        span, _ = self._telemetry.sending(record, self._destinations.dead_letter_topic)
        self.counts["dead_letter"] += 1
        _log(error)
        outgoing = self._dead_letter(record, error)
        return Outcome(record, "dead_letter", (outgoing,), self._clock.now(), span, error)

    def exchange_verdict(
        self, prepared: PreparedRecord, verdict: Verdict, admitted_at: float
    ) -> tuple[OutgoingRecord, ...]:
        """The records of the verdict on one exchange of several.

        Raises:
            VerdictTooLarge: a topic does not take its record.
        """
        return self._decided(prepared, verdict, carried(prepared.record.headers), admitted_at)

    def _decided(
        self, prepared: PreparedRecord, verdict: Verdict, trace: Headers, admitted_at: float
    ) -> tuple[OutgoingRecord, ...]:
        """The records of a verdict and of what the policy makes of it."""
        record, decided = prepared.record, self._deciding.decide(verdict)
        outgoing = self._destinations.verdict(record, verdict, trace, decided.acting)
        self._telemetry.judged(record, verdict, taken_at=prepared.taken_at, admitted_at=admitted_at)
        self._deciding.count(decided)
        return outgoing

    def _dead_letter(
        self, record: Record, error: RecordError, exchanges: Collection[int] = ()
    ) -> OutgoingRecord:
        action = self._deciding.without_verdict()
        return self._destinations.dead_letter(record, error, exchanges, action)

    def refused(self, error: RecordError, taken_at: float, process: Span) -> None:
        """An exchange of several cannot be judged; `process` is the span of its work."""
        self._telemetry.dead_lettered(error, taken_at, process)
        _log(error)

    def of_exchanges(self, record: Record, exchanges: Sequence[ExchangeOutcome]) -> Outcome:
        """The outcome of a record whose exchanges are all judged or refused.

        Those that are refused share one dead letter, which names their numbers.
        """
        outgoing = [judged for one in exchanges for judged in one.judged]
        kind: OutcomeKind = "verdict" if outgoing else "dead_letter"
        refused = {one.number: one.error for one in exchanges if one.error is not None}
        error = next(iter(refused.values()), None)
        if error is not None:
            error = _summed_up(error, len(refused), len(exchanges))
            outgoing.append(self._dead_letter(record, error, refused))
        span, _ = self._telemetry.sending(record, outgoing[0].topic)
        self.counts[kind] += 1
        now = self._clock.now()
        return Outcome(record, kind, tuple(outgoing), now, span, error, tuple(exchanges))

    def skipped(self, record: Record, taken_at: float) -> Outcome:
        """The outcome of a record without an exchange that is wanted: nothing is sent."""
        self.counts["skipped"] += 1
        return Outcome(record, "skipped", (), taken_at)

    def tombstone(self, record: Record, taken_at: float) -> Outcome:
        """The outcome of a record without a value: nothing is sent."""
        self.counts["tombstone"] += 1
        return Outcome(record, "tombstone", (), taken_at)

    def rebuild(self, outcome: Outcome) -> Outcome:
        """The outcome of the same record, by what its topic takes now."""
        if outcome.exchanges:
            return self._rebuild_exchanges(outcome)
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
        outgoing = self._dead_letter(outcome.record, error)
        return dataclasses.replace(outcome, kind="dead_letter", outgoing=(outgoing,), error=error)

    def _rebuild_exchanges(self, outcome: Outcome) -> Outcome:
        exchanges = [self._refuse_too_large(one) for one in outcome.exchanges]
        self.counts[outcome.kind] -= 1
        rebuilt = self.of_exchanges(outcome.record, exchanges)
        return dataclasses.replace(rebuilt, span=outcome.span, concluded_at=outcome.concluded_at)

    def _refuse_too_large(self, exchange: ExchangeOutcome) -> ExchangeOutcome:
        """The outcome of an exchange, by what its topics take now."""
        try:
            for outgoing in exchange.judged:
                self._destinations.require_fit(outgoing)
        except VerdictTooLarge as too_large:
            self._telemetry.replaced(too_large)
            _log(too_large)
            return ExchangeOutcome(exchange.number, (), too_large)
        return exchange


def _summed_up(first: RecordError, refused: int, exchanges: int) -> RecordError:
    """An error of the same class, whose message says how many exchanges are refused."""
    if refused == exchanges == 1:
        return first
    return type(first)(f"{refused} of {exchanges} exchanges cannot be judged, the first: {first}")


def _log(error: RecordError) -> None:
    logger.info("Dead letter (%s): %s", type(error).__name__, error)
