"""The Kafka records of a verdict and of its decision: key, headers, copied headers of the input."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter

from worker.domain.decision_shape import DecisionShape
from worker.domain.decisions import DECISION_SCHEMA, Decision, encode_decision
from worker.domain.questions import STANDARD_QUESTIONS
from worker.domain.records import Headers, OutgoingRecord, Record
from worker.domain.verdicts import VERDICT_SCHEMA, Verdict, encode_verdict

# input headers about the value or its transport, not about the exchange; in lower case
_NOT_COPIED = frozenset(
    {
        "traceparent",
        "tracestate",
        "baggage",
        # the format of the value, by the names that clients use
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
_NOT_COPIED_PREFIXES = (
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
# of the header with the codes of categories
_MOST_CODE_BYTES = 1024
_VERDICT = TypeAdapter(Verdict)
_VERSION_1 = "guardstream.verdict/1"
_SINCE_VERSION_2: dict[str, Any] = {
    "user_id": None,
    "tenant": None,
    "criteria": {},
    "categories": (),
    "severity": None,
    "reasoned": True,
}
_LABEL_HEADERS = tuple(f"guardstream.{question.name}" for question in STANDARD_QUESTIONS)
_STANDARD_LABELS = attrgetter(*(f"{question.name}.label" for question in STANDARD_QUESTIONS))
_JSON = ("content-type", b"application/json")
_SCHEMA = "guardstream.schema"
_EVENT_ID = "guardstream.event_id"
_SAME_FOR_ALL: Headers = (_JSON, (_SCHEMA, VERDICT_SCHEMA.encode()))
_SAME_FOR_ALL_DECISIONS: Headers = (_JSON, (_SCHEMA, DECISION_SCHEMA.encode()))
# what to do, on verdicts, decisions and dead letters
ACTION = "guardstream.action"
# of the value of a decision's record, where it is another one than `guardstream`
SHAPE = "guardstream.shape"


def cloudevent_headers(made: Verdict | Decision, group: str) -> Headers:
    """Headers that make a verdict or a decision a CloudEvent.

    Version 1.0.2, Kafka protocol binding, binary mode.
    """
    if isinstance(made, Verdict):
        own_id, time = made.verdict_id, made.judged_at
    else:
        own_id, time = made.decision_id, made.decided_at
    attributes = {
        "specversion": "1.0",
        "id": own_id,
        "source": f"/guardstream/{quote(group, safe='')}",
        "type": made.schema.replace("/", "."),
        "subject": made.event_id,
        "time": time,
    }
    return tuple((f"ce_{name}", v.encode("utf-8", "replace")) for name, v in attributes.items())


def verdict_record(
    verdict: Verdict,
    *,
    topic: str,
    record: Record,
    added: Headers = (),
    action: str | None = None,
) -> OutgoingRecord:
    """The record of a verdict; a consumer can route by its headers without parsing the value.

    Args:
        verdict: the value.
        topic: where it goes.
        record: the input record.
        added: further headers, of the trace or of a CloudEvent.
        action: what a policy decided.
    """
    own = [
        *_SAME_FOR_ALL,
        (_EVENT_ID, verdict.event_id.encode("utf-8", "replace")),
        ("guardstream.status", verdict.status.encode()),
    ]
    for name, label in zip(_LABEL_HEADERS, _STANDARD_LABELS(verdict), strict=True):
        if label is not None:
            own.append((name, label.encode()))
    if verdict.criteria:
        own += [
            (f"guardstream.criteria.{name}", reading.label.encode())
            for name, reading in verdict.criteria.items()
            if reading.label is not None
        ]
    if verdict.categories and (codes := _codes(verdict)):
        own.append(("guardstream.categories", codes))
    if action is not None:
        own.append((ACTION, action.encode()))
    key = _key(record, verdict.conversation_id, verdict.event_id)
    return OutgoingRecord(topic, key, encode_verdict(verdict), (*_copied(record), *own, *added))


def decision_record(
    decision: Decision,
    verdict: Verdict,
    *,
    topic: str,
    record: Record,
    added: Headers = (),
    shape: DecisionShape | None = None,
) -> OutgoingRecord:
    """The record of a decision, with the key of its verdict's record.

    Args:
        decision: what is published.
        verdict: what it was decided on.
        topic: where it goes.
        record: the input record.
        added: further headers, of the trace or of a CloudEvent.
        shape: of the value; by default, the decision is written as it is.
    """
    own = [
        *_SAME_FOR_ALL_DECISIONS,
        (_EVENT_ID, decision.event_id.encode("utf-8", "replace")),
        ("guardstream.verdict_id", decision.verdict_id.encode()),
        (ACTION, decision.action.encode()),
    ]
    key = _key(record, decision.conversation_id, decision.event_id)
    if shape is None:
        value = encode_decision(decision)
    else:
        value = shape.encode(decision, verdict)
        own.append((SHAPE, shape.name.encode()))
    return OutgoingRecord(topic, key, value, (*_copied(record), *own, *added))


def action_of(headers: Headers) -> str | None:
    """The action in the headers of a verdict; None where no policy decided."""
    # the worker's own headers follow those that it copies
    found = [value for name, value in headers if name == ACTION]
    return found[-1].decode("utf-8", "replace") if found else None


def _key(record: Record, conversation_id: str | None, event_id: str) -> bytes:
    if record.key is not None:
        return record.key
    return (conversation_id or event_id).encode("utf-8", "replace")


def _copied(record: Record) -> list[tuple[str, bytes]]:
    return [header for header in record.headers if _is_copied(header[0].lower())]


def _codes(verdict: Verdict) -> bytes:
    """The codes of the categories, each once, as many as there is room for."""
    found, size = [], 0
    for code in dict.fromkeys(one.code for one in verdict.categories):
        encoded = code.encode("utf-8", "replace")
        size += len(encoded) + 1
        if size > _MOST_CODE_BYTES:
            break
        # a consumer splits at commas
        if b"," not in encoded:
            found.append(encoded)
    return b",".join(found)


def _is_copied(name: str) -> bool:
    return name not in _NOT_COPIED and not name.startswith(_NOT_COPIED_PREFIXES)


def read_verdict(document: Mapping[str, Any]) -> Verdict:
    """The verdict in a decoded JSON document of this version of the schema or of version 1.

    Raises:
        ValueError: it is not a verdict.
    """
    if document.get("schema") == _VERSION_1:
        document = {**_SINCE_VERSION_2, **document, "schema": VERDICT_SCHEMA}
    return _VERDICT.validate_python(document)
