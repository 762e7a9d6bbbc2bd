"""What is said of an exchange: the judgement a guard read, and the verdict that is published."""

import json
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import sha1
from typing import Literal
from urllib.parse import quote

import orjson

from worker.domain.events import Event
from worker.domain.records import Headers, OutgoingRecord, Record


class Task(StrEnum):
    """The three questions a guard answers, in the order of the GuardReasoner paper."""

    PROMPT_HARMFULNESS = "prompt_harmfulness"
    RESPONSE_REFUSAL = "response_refusal"
    RESPONSE_HARMFULNESS = "response_harmfulness"


RESPONSE_TASKS = (Task.RESPONSE_REFUSAL, Task.RESPONSE_HARMFULNESS)

Label = Literal["harmful", "unharmful", "refusal", "compliance"]
LabelSource = Literal["answer", "section"]
Status = Literal["complete", "inconclusive"]
FinishReason = Literal["stop", "length"]

LABELS: dict[Task, tuple[Label, Label]] = {
    Task.PROMPT_HARMFULNESS: ("harmful", "unharmful"),
    Task.RESPONSE_REFUSAL: ("refusal", "compliance"),
    Task.RESPONSE_HARMFULNESS: ("harmful", "unharmful"),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One task's label and where in the completion it stood; null where none was written."""

    label: Label | None = None
    source: LabelSource | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """One task's section of the completion: its steps in order and its conclusion, if any."""

    task: Task
    steps: tuple[str, ...]
    conclusion: str | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a guard read out of one completion.

    `status` is `inconclusive` when a task that applies has no label: no label is ever guessed.
    """

    status: Status
    prompt_harmfulness: Reading = field(default=Reading())
    response_refusal: Reading = field(default=Reading())
    response_harmfulness: Reading = field(default=Reading())
    reasoning: tuple[Reasoning, ...] = ()
    flags: tuple[str, ...] = ()

    def reading(self, task: Task) -> Reading:
        """The reading of `task`."""
        match task:
            case Task.PROMPT_HARMFULNESS:
                return self.prompt_harmfulness
            case Task.RESPONSE_REFUSAL:
                return self.response_refusal
            case Task.RESPONSE_HARMFULNESS:
                return self.response_harmfulness


@dataclass(frozen=True, slots=True)
class VerdictSource:
    """The record that was judged; `timestamp` is Kafka's, RFC 3339."""

    topic: str
    partition: int
    offset: int
    timestamp: str


@dataclass(frozen=True, slots=True)
class GuardReference:
    """Which guard judged: the model's name and revision, and the sum of the prompt template."""

    name: str
    model: str
    revision: str | None
    prompt_sha256: str


@dataclass(frozen=True, slots=True)
class EngineReference:
    """Which engine ran the model."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one judgement; `cached_tokens` of the prompt were reused from the prefix cache."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


VERDICT_SCHEMA = "guardstream.verdict/1"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The published judgement of one event, with where it came from. Times are RFC 3339, UTC."""

    verdict_id: str
    event_id: str
    conversation_id: str | None
    source: VerdictSource
    status: Status
    prompt_harmfulness: Reading
    response_refusal: Reading
    response_harmfulness: Reading
    reasoning: tuple[Reasoning, ...]
    flags: tuple[str, ...]
    guard: GuardReference
    engine: EngineReference
    usage: Usage
    finish_reason: FinishReason | None
    occurred_at: str | None
    received_at: str
    judged_at: str
    schema: Literal["guardstream.verdict/1"] = "guardstream.verdict/1"


# a timestamp is whatever a producer wrote, and RFC 3339 knows the years 1 to 9999
_FIRST_SECOND = datetime.min.replace(tzinfo=UTC).timestamp()
_LAST_SECOND = datetime.max.replace(microsecond=0, tzinfo=UTC).timestamp()
_NAMESPACE = uuid.UUID("6f1c2f0e-3a57-5c55-9d0b-4a0e6e0d7c11")
# headers of the input that describe its value, or its way here, and not the exchange; lower case
_NOT_CARRIED = frozenset(
    {
        "traceparent",
        "tracestate",
        "baggage",
        # what the value is, under the names that clients use
        "content-type",
        "content_type",
        "contenttype",
        "originalcontenttype",
        "content-encoding",
        "content_encoding",
        "contentencoding",
        "content-length",
        "content_length",
        "contentlength",
        "datacontenttype",
        "dataschema",
        # Confluent's serialisers
        "__value_schema_id",
        "__key_schema_id",
        # Spring
        "__typeid__",
        "__keytypeid__",
        "__contenttypeid__",
        "spring_json_header_types",
        "nativeheaders",
    }
)
_NOT_CARRIED_PREFIXES = (
    "guardstream.",
    "__dlq.",
    "__connect.errors.",
    # CloudEvents
    "ce_",
    "ce-",
    "cloudevents:",
    "cloudevents_",
    # registries and change data capture
    "schema",
    "apicurio.",
    "confluent.value.",
    "confluent.key.",
    "__debezium.",
    # Spring Kafka, its retries, and Spring Cloud Stream
    "__key_",
    "kafka_",
    "retry_topic-",
    "springdeserializerexception",
    "scst_",
)
_SAME_FOR_ALL: Headers = (
    ("content-type", b"application/json"),
    ("guardstream.schema", VERDICT_SCHEMA.encode()),
)


def verdict_id(source: VerdictSource, guard: GuardReference) -> str:
    """The same on every redelivery of a record to the same guard (UUIDv5), so one can dedupe."""
    name = "\x00".join(
        (
            source.topic,
            str(source.partition),
            str(source.offset),
            guard.name,
            guard.model,
            guard.revision or "",
            guard.prompt_sha256,
        )
    )
    # what uuid.uuid5 makes of it, in a third of the time
    digest = sha1(_NAMESPACE.bytes + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def rfc3339(unix_seconds: float) -> str:
    """The time in UTC with milliseconds; what the format cannot hold becomes its nearest end."""
    # rounded first, or what a float holds as 0.015999999 would lose its last millisecond
    held = round(min(max(unix_seconds, _FIRST_SECOND), _LAST_SECOND) * 1_000_000)
    second, microseconds = divmod(held, 1_000_000)
    return f"{_second(second)}.{microseconds // 1000:03}Z"


# many records share one
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
) -> Verdict:
    """The verdict on an event: a judgement with its provenance."""
    return Verdict(
        verdict_id=verdict_id(source, guard),
        event_id=event_id,
        conversation_id=event.conversation_id,
        source=source,
        status=judgement.status,
        prompt_harmfulness=judgement.prompt_harmfulness,
        response_refusal=judgement.response_refusal,
        response_harmfulness=judgement.response_harmfulness,
        reasoning=judgement.reasoning if with_reasoning else (),
        flags=(*flags, *judgement.flags),
        guard=guard,
        engine=engine,
        usage=usage,
        finish_reason=finish_reason,
        occurred_at=rfc3339(event.occurred_at.timestamp()) if event.occurred_at else None,
        received_at=rfc3339(received_at),
        judged_at=rfc3339(judged_at),
    )


def encode_verdict(verdict: Verdict) -> bytes:
    """The verdict as JSON; a lone surrogate of the model's text becomes a question mark."""
    try:
        return orjson.dumps(verdict)
    except orjson.JSONEncodeError:
        text = json.dumps(asdict(verdict), ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def cloudevent_headers(verdict: Verdict, group: str) -> Headers:
    """What makes a verdict's record a CloudEvent (1.0.2, Kafka protocol binding, binary mode)."""
    attributes = {
        "specversion": "1.0",
        "id": verdict.verdict_id,
        "source": f"/guardstream/{quote(group, safe='')}",
        "type": VERDICT_SCHEMA.replace("/", "."),
        "subject": verdict.event_id,
        "time": verdict.judged_at,
    }
    return tuple((f"ce_{name}", v.encode("utf-8", "replace")) for name, v in attributes.items())


def verdict_record(
    verdict: Verdict, *, topic: str, record: Record, added: Headers = ()
) -> OutgoingRecord:
    """The record that carries a verdict; its headers let a consumer route without parsing.

    `added` are headers beside those: of the trace, of an envelope.
    """
    carried = [header for header in record.headers if _is_carried(header[0].lower())]
    own = [
        *_SAME_FOR_ALL,
        ("guardstream.event_id", verdict.event_id.encode("utf-8", "replace")),
        ("guardstream.status", verdict.status.encode()),
    ]
    for name, reading in (
        ("guardstream.prompt_harmfulness", verdict.prompt_harmfulness),
        ("guardstream.response_refusal", verdict.response_refusal),
        ("guardstream.response_harmfulness", verdict.response_harmfulness),
    ):
        if reading.label is not None:
            own.append((name, reading.label.encode()))
    key = record.key
    if key is None:
        key = (verdict.conversation_id or verdict.event_id).encode("utf-8", "replace")
    return OutgoingRecord(topic, key, encode_verdict(verdict), (*carried, *own, *added))


def _is_carried(name: str) -> bool:
    return name not in _NOT_CARRIED and not name.startswith(_NOT_CARRIED_PREFIXES)
