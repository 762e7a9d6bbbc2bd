"""Verdicts: the published judgement of one event, with its provenance."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

from worker.domain.encoding import encode_json
from worker.domain.engines import EngineReference, FinishReason, Usage
from worker.domain.events import Event
from worker.domain.guard import Guard
from worker.domain.identifiers import uuid5
from worker.domain.judgements import NO_READING, Category, Judgement, Reading, Reasoning, Status
from worker.domain.questions import (
    PROMPT_HARMFULNESS,
    RESPONSE_HARMFULNESS,
    RESPONSE_REFUSAL,
    STANDARD_QUESTIONS,
)

VERDICT_SCHEMA = "guardstream.verdict/2"


@dataclass(frozen=True, slots=True)
class VerdictSource:
    """The judged record.

    Attributes:
        timestamp: Kafka's, in RFC 3339.
        exchange: which exchange of the record, from 0; null where a record holds only one.
    """

    topic: str
    partition: int
    offset: int
    timestamp: str
    exchange: int | None = None


@dataclass(frozen=True, slots=True)
class GuardReference:
    """The guard that judged.

    Attributes:
        prompt_sha256: SHA-256 of the prompt template.
        calibration_sha256: SHA-256 of the calibration file that was applied to the scores.
    """

    name: str
    model: str
    revision: str | None
    prompt_sha256: str
    calibration_sha256: str | None = None


def reference_to(
    guard: Guard, model: str, revision: str | None, calibration_sha256: str | None = None
) -> GuardReference:
    """A reference to a guard that runs on this model."""
    return GuardReference(guard.name, model, revision, guard.prompt_sha256, calibration_sha256)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The published judgement of one event. Times are RFC 3339, UTC.

    The three standard tasks are always present; their label is null where the guard does not answer
    the question or it does not apply. `criteria` contains the answers to other questions.
    `context_turns` counts the earlier turns of the conversation that the guard was given.
    """

    verdict_id: str
    event_id: str
    conversation_id: str | None
    user_id: str | None
    tenant: str | None
    source: VerdictSource
    status: Status
    prompt_harmfulness: Reading
    response_refusal: Reading
    response_harmfulness: Reading
    criteria: Mapping[str, Reading]
    categories: tuple[Category, ...]
    severity: str | None
    reasoned: bool
    reasoning: tuple[Reasoning, ...]
    flags: tuple[str, ...]
    guard: GuardReference
    engine: EngineReference
    usage: Usage
    finish_reason: FinishReason | None
    occurred_at: str | None
    received_at: str
    judged_at: str
    context_turns: int = 0
    schema: Literal["guardstream.verdict/2"] = "guardstream.verdict/2"

    def readings(self) -> dict[str, Reading]:
        """All answers by the name of their question, the standard tasks first."""
        standard = {question.name: getattr(self, question.name) for question in STANDARD_QUESTIONS}
        return {**standard, **self.criteria}


# producers choose timestamps freely, and RFC 3339 supports the years 1 to 9999
_FIRST_SECOND = datetime.min.replace(tzinfo=UTC).timestamp()
_LAST_SECOND = datetime.max.replace(microsecond=0, tzinfo=UTC).timestamp()
_NAMESPACE = uuid.UUID("6f1c2f0e-3a57-5c55-9d0b-4a0e6e0d7c11")


def verdict_id(source: VerdictSource, guard: GuardReference) -> str:
    """A UUIDv5, equal for each delivery of a record to the same guard: usable for deduplication."""
    offset = str(source.offset)
    name = "\x00".join(
        (
            source.topic,
            str(source.partition),
            offset if source.exchange is None else f"{offset}#{source.exchange}",
            guard.name,
            guard.model,
            guard.revision or "",
            guard.prompt_sha256,
        )
    )
    return uuid5(_NAMESPACE, name.encode())


def rfc3339(unix_seconds: float) -> str:
    """The time in UTC with milliseconds; times out of range become the nearest one in range."""
    # rounded first: truncating 0.015999999 would lose the last millisecond
    held = round(min(max(unix_seconds, _FIRST_SECOND), _LAST_SECOND) * 1_000_000)
    second, microseconds = divmod(held, 1_000_000)
    return f"{_second(second)}.{microseconds // 1000:03}Z"


# many records share a second
@lru_cache(maxsize=1024)
def _second(unix_second: int) -> str:
    return datetime.fromtimestamp(unix_second, UTC).isoformat()[:19]


def judge_event(
    judgement: Judgement,
    *,
    event: Event,
    event_id: str,
    source: VerdictSource,
    guard: GuardReference,
    engine: EngineReference,
    usage: Usage,
    finish_reason: FinishReason | None,
    flags: tuple[str, ...],
    with_reasoning: bool,
    received_at: float,
    judged_at: float,
    context_turns: int = 0,
) -> Verdict:
    """The verdict on an event: a judgement and its provenance."""
    readings = judgement.readings
    return Verdict(
        verdict_id=verdict_id(source, guard),
        event_id=event_id,
        conversation_id=event.conversation_id,
        user_id=event.user_id,
        tenant=event.tenant,
        source=source,
        status=judgement.status,
        prompt_harmfulness=readings.get(PROMPT_HARMFULNESS.name, NO_READING),
        response_refusal=readings.get(RESPONSE_REFUSAL.name, NO_READING),
        response_harmfulness=readings.get(RESPONSE_HARMFULNESS.name, NO_READING),
        criteria=judgement.criteria,
        categories=judgement.categories,
        severity=judgement.severity,
        reasoned=judgement.reasoned,
        reasoning=judgement.reasoning if with_reasoning else (),
        flags=(*flags, *judgement.flags),
        guard=guard,
        engine=engine,
        usage=usage,
        finish_reason=finish_reason,
        occurred_at=rfc3339(event.occurred_at.timestamp()) if event.occurred_at else None,
        received_at=rfc3339(received_at),
        judged_at=rfc3339(judged_at),
        context_turns=context_turns,
    )


def encode_verdict(verdict: Verdict) -> bytes:
    """The verdict as JSON; lone surrogates in the model's text become question marks."""
    return encode_json(verdict)
