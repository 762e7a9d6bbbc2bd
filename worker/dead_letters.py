"""Dead letters: the record as it came, with headers that say why nobody could judge it.

Header names follow KIP-1191 (`__dlq.errors.*`). A dead letter can always be produced: what does
not fit the topic is cut in steps, and headers tell what was there.
"""

import hashlib

from worker.errors import RecordError
from worker.records import Headers, OutgoingRecord, Record

_CUT_VALUE_BYTES = 64 * 1024


def dead_letter(
    record: Record,
    error: RecordError,
    *,
    topic: str,
    group: str,
    max_bytes: int,
    delivery_count: int = 1,
) -> OutgoingRecord:
    """The record for the dead-letter topic that takes at most `max_bytes` per record."""
    why: Headers = (
        ("__dlq.errors.topic", record.partition.topic.encode()),
        ("__dlq.errors.partition", str(record.partition.number).encode()),
        ("__dlq.errors.offset", str(record.offset).encode()),
        ("__dlq.errors.group", group.encode()),
        ("__dlq.errors.delivery.count", str(delivery_count).encode()),
        ("__dlq.errors.message", str(error).encode("utf-8", "replace")[:1024]),
        ("guardstream.stage", error.stage.encode()),
        ("guardstream.error", type(error).__name__.encode()),
    )
    whole = OutgoingRecord(topic, record.key, record.value, (*record.headers, *why))
    if whole.size_bytes <= max_bytes:
        return whole
    value = record.value or b""
    cut: Headers = (
        ("guardstream.value.size", str(len(value)).encode()),
        ("guardstream.value.sha256", hashlib.sha256(value).hexdigest().encode()),
    )
    kept = min(_CUT_VALUE_BYTES, max_bytes // 4)
    shortened = OutgoingRecord(topic, record.key, value[:kept], (*record.headers, *why, *cut))
    if shortened.size_bytes <= max_bytes:
        return shortened
    # the weight is in the key or the headers: name them by their sums
    names = b"\x00".join(name.encode() + b"=" + (held or b"") for name, held in record.headers)
    sums: Headers = (
        ("guardstream.key.sha256", hashlib.sha256(record.key or b"").hexdigest().encode()),
        ("guardstream.headers.sha256", hashlib.sha256(names).hexdigest().encode()),
    )
    # aiokafka sends no record that has neither key nor value
    return OutgoingRecord(topic, None, b"", (*why, *cut, *sums))
