"""The Kafka record of a verdict: its key, its headers, and the copied headers of the input."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter

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
_SAME_FOR_ALL: Headers = (
    ("content-type", b"application/json"),
    ("guardstream.schema", VERDICT_SCHEMA.encode()),
)


def cloudevent_headers(verdict: Verdict, group: str) -> Headers:
    """Headers that make a verdict a CloudEvent (1.0.2, Kafka protocol binding, binary mode)."""
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
    """The record of a verdict; a consumer can route by its headers without parsing the value.

    `added` are further headers, of the trace or of a CloudEvent.
    """
    copied = [header for header in record.headers if _is_copied(header[0].lower())]
    own = [
        *_SAME_FOR_ALL,
        ("guardstream.event_id", verdict.event_id.encode("utf-8", "replace")),
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
    key = record.key
    if key is None:
        key = (verdict.conversation_id or verdict.event_id).encode("utf-8", "replace")
    return OutgoingRecord(topic, key, encode_verdict(verdict), (*copied, *own, *added))


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
