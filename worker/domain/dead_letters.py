"""Dead letters: the record as it came, with headers that say why nobody could judge it.

Header names follow KIP-1191 (`__dlq.errors.*`). A dead letter can always be produced: what does
not fit the topic is cut in steps, and headers tell what was there. The headers written here stand
after the record's own, and begin with `ORIGIN_TOPIC`: that is how a redrive tells them from what
the event already had.
"""

import hashlib

from worker.domain.errors import RecordError
from worker.domain.records import Headers, OutgoingRecord, Record

ORIGIN_TOPIC = "__dlq.errors.topic"
ORIGIN_PARTITION = "__dlq.errors.partition"
ORIGIN_OFFSET = "__dlq.errors.offset"
GROUP = "__dlq.errors.group"
DELIVERY_COUNT = "__dlq.errors.delivery.count"
MESSAGE = "__dlq.errors.message"
STAGE = "guardstream.stage"
ERROR = "guardstream.error"

VALUE_SIZE = "guardstream.value.size"
VALUE_SHA256 = "guardstream.value.sha256"
KEY_SHA256 = "guardstream.key.sha256"
HEADERS_SHA256 = "guardstream.headers.sha256"

# on a record that was sent back: the deliveries before this one
DELIVERED_BEFORE = "guardstream.delivery.count"

_CUT_VALUE_BYTES = 64 * 1024
# what a reader can do without, when a topic takes only a few hundred bytes
_EXPENDABLE = {GROUP, DELIVERY_COUNT, MESSAGE, STAGE}
_MOST_DIGITS = 18


def read_count(value: bytes | None) -> int | None:
    """The number a header holds; None for what is no number of a believable length."""
    if value is None or not value.isdigit() or len(value) > _MOST_DIGITS:
        return None
    return int(value)


def delivered_before(headers: Headers) -> int:
    """How often a record was delivered before it was sent back; 0 for one that never was."""
    counts = [read_count(value) for name, value in headers if name == DELIVERED_BEFORE]
    # the last is ours: an event may have brought others along
    return (counts[-1] or 0) if counts else 0


def dead_letter(
    record: Record,
    error: RecordError,
    *,
    topic: str,
    group: str,
    max_bytes: int,
    delivery_count: int = 1,
) -> OutgoingRecord:
    """The record for the dead-letter topic that takes at most `max_bytes` per record.

    `delivery_count` says how often the record was delivered, this time included.
    """
    why: Headers = (
        (ORIGIN_TOPIC, record.partition.topic.encode()),
        (ORIGIN_PARTITION, str(record.partition.number).encode()),
        (ORIGIN_OFFSET, str(record.offset).encode()),
        (GROUP, group.encode()),
        (DELIVERY_COUNT, str(delivery_count).encode()),
        (MESSAGE, str(error).encode("utf-8", "replace")[:1024]),
        (STAGE, error.stage.encode()),
        (ERROR, type(error).__name__.encode()),
    )
    whole = OutgoingRecord(topic, record.key, record.value, (*record.headers, *why))
    if whole.size_bytes <= max_bytes:
        return whole
    value = record.value or b""
    cut: Headers = (
        (VALUE_SIZE, str(len(value)).encode()),
        (VALUE_SHA256, hashlib.sha256(value).hexdigest().encode()),
    )
    kept = min(_CUT_VALUE_BYTES, max_bytes // 4)
    shortened = OutgoingRecord(topic, record.key, value[:kept], (*record.headers, *why, *cut))
    if shortened.size_bytes <= max_bytes:
        return shortened
    # the weight is in the key or the headers: name them by their sums
    names = b"\x00".join(name.encode() + b"=" + (held or b"") for name, held in record.headers)
    sums: Headers = (
        (KEY_SHA256, hashlib.sha256(record.key or b"").hexdigest().encode()),
        (HEADERS_SHA256, hashlib.sha256(names).hexdigest().encode()),
    )
    # aiokafka sends no record that has neither key nor value
    summed = OutgoingRecord(topic, None, b"", (*why, *cut, *sums))
    if summed.size_bytes <= max_bytes:
        return summed
    # the topic takes next to nothing: keep what finds the record again, the least needed last
    kept_headers = tuple(header for header in (*why, cut[0]) if header[0] not in _EXPENDABLE)
    while kept_headers:
        located = OutgoingRecord(topic, None, b"", kept_headers)
        if located.size_bytes <= max_bytes:
            return located
        kept_headers = kept_headers[:-1]
    return OutgoingRecord(topic, None, b"", ())
