"""Dead letters: the original record, with headers that state why it could not be judged.

Header names follow KIP-1191 (`__dlq.errors.*`). A dead letter can always be produced: what does
not fit the topic is truncated in steps, and headers describe what was removed. The headers added
here follow those of the record, and `ORIGIN_TOPIC` is the first of them: a redrive uses that to
separate them from the headers of the event.
"""

import hashlib
from collections.abc import Collection

from worker.domain.errors import RecordError
from worker.domain.exchange_numbers import EXCHANGES, NumberRanges
from worker.domain.records import Headers, OutgoingRecord, Record
from worker.domain.verdict_records import ACTION

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

# on a redriven record: the number of deliveries before this one
DELIVERED_BEFORE = "guardstream.delivery.count"

_CUT_VALUE_BYTES = 64 * 1024
# left out when a topic takes only a few hundred bytes
_EXPENDABLE = {GROUP, DELIVERY_COUNT, MESSAGE, STAGE, ACTION}
_MOST_DIGITS = 18


def read_count(value: bytes | None) -> int | None:
    """The number in a header; None for anything but digits of a plausible length."""
    if value is None or not value.isdigit() or len(value) > _MOST_DIGITS:
        return None
    return int(value)


def delivered_before(headers: Headers) -> int:
    """The number of deliveries before a redrive; 0 for a record that was never redriven."""
    counts = [read_count(value) for name, value in headers if name == DELIVERED_BEFORE]
    # the last one was added by redrive: the event may have had such headers before
    return (counts[-1] or 0) if counts else 0


def dead_letter(
    record: Record,
    error: RecordError,
    *,
    topic: str,
    group: str,
    max_bytes: int,
    delivery_count: int = 1,
    exchanges: Collection[int] = (),
    action: str | None = None,
) -> OutgoingRecord:
    """The dead letter of a record, for a topic that takes at most `max_bytes` per record.

    `delivery_count` is the number of deliveries of the record, this one included; `exchanges` are
    those that could not be judged, of a record that holds others too; `action` is that of the
    policy for an event without a verdict.
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
    if exchanges:
        numbers = NumberRanges((number, number) for number in exchanges)
        why = (*why, (EXCHANGES, numbers.encode()))
    if action is not None:
        why = (*why, (ACTION, action.encode()))
    complete = OutgoingRecord(topic, record.key, record.value, (*record.headers, *why))
    if complete.size_bytes <= max_bytes:
        return complete
    value = record.value or b""
    cut: Headers = (
        (VALUE_SIZE, str(len(value)).encode()),
        (VALUE_SHA256, hashlib.sha256(value).hexdigest().encode()),
    )
    kept = min(_CUT_VALUE_BYTES, max_bytes // 4)
    shortened = OutgoingRecord(topic, record.key, value[:kept], (*record.headers, *why, *cut))
    if shortened.size_bytes <= max_bytes:
        return shortened
    # key or headers are too large: replace them by their SHA-256
    names = b"\x00".join(name.encode() + b"=" + (held or b"") for name, held in record.headers)
    sums: Headers = (
        (KEY_SHA256, hashlib.sha256(record.key or b"").hexdigest().encode()),
        (HEADERS_SHA256, hashlib.sha256(names).hexdigest().encode()),
    )
    # aiokafka does not send a record without key and value
    summed = OutgoingRecord(topic, None, b"", (*why, *cut, *sums))
    if summed.size_bytes <= max_bytes:
        return summed
    # the limit is very small: keep the position of the record, the least important header last
    kept_headers = tuple(header for header in (*why, cut[0]) if header[0] not in _EXPENDABLE)
    while kept_headers:
        located = OutgoingRecord(topic, None, b"", kept_headers)
        if located.size_bytes <= max_bytes:
            return located
        kept_headers = kept_headers[:-1]
    return OutgoingRecord(topic, None, b"", ())
