"""What becomes of a record: the verdict or the dead letter that is sent for it, and where to."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, NamedTuple

from opentelemetry.trace import INVALID_SPAN, Span

from worker.domain.dead_letters import dead_letter, delivered_before
from worker.domain.decision_shape import DecisionShape
from worker.domain.decisions import Decision
from worker.domain.errors import RecordError, VerdictTooLarge
from worker.domain.records import Headers, OutgoingRecord, Record
from worker.domain.verdict_records import (
    cloudevent_headers,
    decision_record,
    verdict_record,
)
from worker.domain.verdicts import Verdict

OutcomeKind = Literal["verdict", "dead_letter", "tombstone", "skipped"]


class ExchangeOutcome(NamedTuple):
    """What became of one exchange of a record that holds several: a verdict, or an error.

    Attributes:
        judged: the record of the verdict, and that of the decision on it.
    """

    number: int
    judged: tuple[OutgoingRecord, ...] = ()
    error: RecordError | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a record.

    Attributes:
        kind: of a record with several exchanges, `verdict` if one of them has a verdict.
        outgoing: what is sent for it; nothing for what is only counted. It is durable when all of
            these are.
        error: why the record could not be judged; None for what is no dead letter.
        exchanges: of a record that holds several.
        concluded_at: Unix seconds.
        span: of its sending, to be ended when it is durable.
    """

    record: Record
    kind: OutcomeKind
    outgoing: tuple[OutgoingRecord, ...]
    concluded_at: float = 0.0
    span: Span = INVALID_SPAN
    error: RecordError | None = None
    exchanges: tuple[ExchangeOutcome, ...] = ()

    @property
    def size_bytes(self) -> int:
        """What it weighs while it waits to be sent."""
        return sum(outgoing.size_bytes for outgoing in self.outgoing)


@dataclass(frozen=True, slots=True)
class Destinations:
    """Where outcomes go, and in whose name.

    Attributes:
        max_bytes: the largest record that a topic takes.
        cloudevents: whether verdicts and decisions are CloudEvents too.
        decision_topic: for decisions; None where no policy decides.
        shape: in which decisions are published; None for `guardstream`.
    """

    verdict_topic: str
    dead_letter_topic: str
    group: str
    max_bytes: Callable[[str], int]
    cloudevents: bool = False
    decision_topic: str | None = None
    shape: DecisionShape | None = None

    def verdict(
        self, record: Record, verdict: Verdict, trace: Headers, decision: Decision | None = None
    ) -> tuple[OutgoingRecord, ...]:
        """The record of a verdict, and that of the decision on it.

        Raises:
            VerdictTooLarge: a topic does not take its record.
        """
        made = [
            verdict_record(
                verdict,
                topic=self.verdict_topic,
                record=record,
                added=(*self._envelope(verdict), *trace),
                action=decision.action if decision else None,
            )
        ]
        if decision is not None and self.decision_topic is not None:
            added = (*self._envelope(decision), *trace)
            made.append(
                decision_record(
                    decision,
                    verdict,
                    topic=self.decision_topic,
                    record=record,
                    added=added,
                    shape=self.shape,
                )
            )
        for outgoing in made:
            self.require_fit(outgoing)
        return tuple(made)

    def _envelope(self, made: Verdict | Decision) -> Headers:
        return cloudevent_headers(made, self.group) if self.cloudevents else ()

    def require_fit(self, outgoing: OutgoingRecord) -> None:
        """Refuse a record that its topic does not take.

        Raises:
            VerdictTooLarge: it is larger.
        """
        limit = self.max_bytes(outgoing.topic)
        if outgoing.size_bytes > limit:
            what = "decision" if outgoing.topic == self.decision_topic else "verdict"
            raise VerdictTooLarge(
                f"The {what} exceeds the {limit} bytes that {outgoing.topic} takes."
            )

    def dead_letter(
        self,
        record: Record,
        error: RecordError,
        exchanges: Collection[int] = (),
        action: str | None = None,
    ) -> OutgoingRecord:
        """The dead letter of a record, or of some of its exchanges; truncated if it must be."""
        return dead_letter(
            record,
            error,
            topic=self.dead_letter_topic,
            group=self.group,
            max_bytes=self.max_bytes(self.dead_letter_topic),
            delivery_count=delivered_before(record.headers) + 1,
            exchanges=exchanges,
            action=action,
        )
