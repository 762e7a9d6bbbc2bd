"""Fields beside the conversation, and JSON that is not quite: never a reason to refuse an event."""

import json
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.harness import WorkerHarness
from worker.decoding.events import decode_event
from worker.domain.errors import NotAnEvent
from worker.domain.events import judged_exchange


def decoded(**fields):
    return decode_event(orjson.dumps({"prompt": "a"} | fields))


@pytest.mark.parametrize("field", ["id", "conversation_id", "user_id", "tenant"])
@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("x", "x"),
        (42, "42"),
        (12345678901234567890, "12345678901234567890"),
        (7.0, "7"),
        (7.5, "7.5"),
        (1e300, None),
        ("", None),
        (None, None),
        (True, None),
        ({"a": 1}, None),
        (["a"], None),
        ("x" * 1024, "x" * 1024),
        ("x" * 1025, None),
    ],
)
def test_an_id_is_a_string_or_a_number(field, given, read):
    assert getattr(decoded(**{field: given}), field) == read


@pytest.mark.parametrize(
    ("given", "read"),
    [("m", "m"), ({"name": "m"}, "m"), ({"id": "m"}, "m"), ({"name": 1}, None), (7, None)],
)
def test_a_model_is_a_name_or_has_one(given, read):
    assert decoded(model=given).model == read


@pytest.mark.parametrize("metadata", [[1], "text", 7, {"a": {"b": 1}}, None])
def test_metadata_is_anything(metadata):
    assert decoded(metadata=metadata).metadata == metadata


NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "given",
    [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00",
        "2026-01-01t00:00:00z",
        "2026-01-01 00:00:00",
        "2026-01-01T01:00:00+01:00",
        "2026-01-01T01:00:00+01:00[Europe/Berlin]",
        "2026-01-01T00:00:00.000000000Z",
        " 2026-01-01T00:00:00Z ",
        "2025-12-31T23:59:60Z",
        "2026-01-01",
        "20260101",
        "20260101000000",
        "Thu, 01 Jan 2026 00:00:00 GMT",
        "Thu, 01 Jan 2026 01:00:00 +0100",
        1767225600,
        1767225600.0,
        1767225600_000,
        1767225600_000_000,
        1767225600_000_000_000,
        "1767225600",
        "1767225600.0",
        "1767225600000",
        "1767225600000000000",
    ],
)
def test_a_time_has_many_forms(given):
    assert decoded(occurred_at=given).occurred_at == NEW_YEAR


@pytest.mark.parametrize(
    "given",
    [
        "",
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-01-01T12:60:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:60Z",
        "9" * 5000,
        "1" * 60,
        1e300,
        -1e300,
        True,
        {"seconds": 1},
        [2026, 1, 1],
    ],
)
def test_what_is_no_time_is_none(given):
    assert decoded(occurred_at=given).occurred_at is None


@given(st.text(max_size=40) | st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_any_time_is_one_in_utc_or_none(given):
    found = decode_event(json.dumps({"prompt": "a", "occurred_at": given}).encode()).occurred_at
    assert found is None or found.utcoffset().total_seconds() == 0


async def test_a_verdict_has_its_times_in_utc():
    harness = WorkerHarness("at_least_once")
    for when in ("Thu, 01 Jan 2026 01:00:00 +0100", "tomorrow"):
        harness.bus.append("events", value=orjson.dumps({"prompt": "a", "occurred_at": when}))
    async with harness.running():
        await harness.until(lambda: harness.delivery.settled == 2)
    times = [orjson.loads(record.value)["occurred_at"] for record in harness.bus.topic("verdicts")]
    assert sorted(times, key=str) == ["2026-01-01T00:00:00.000Z", None]


async def test_a_verdict_says_that_not_all_was_text():
    harness = WorkerHarness("at_least_once")
    parts = [{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {}}]
    harness.bus.append("events", value=orjson.dumps({"prompt": parts}))
    async with harness.running():
        await harness.until(lambda: harness.delivery.settled == 1)
    (verdict,) = harness.bus.topic("verdicts")
    assert "not_all_text" in orjson.loads(verdict.value)["flags"]


# JSON as logs hold it


def test_numbers_that_are_none_are_null():
    event = decode_event(b'{"id": 1e400, "prompt": "a", "metadata": [NaN, -Infinity, 1e400, 1.5]}')
    assert (event.id, event.metadata) == (None, [None, None, None, 1.5])


def test_half_an_emoji_is_replaced():
    value = rb'{"id": "x\ud83d", "prompt": "a\ud83d b \ude00", "response": "\ud83d\ude00 \ud83d"}'
    event = decode_event(value)
    exchange = judged_exchange(event)
    assert (event.id, exchange.prompt, exchange.response) == (
        "x\ufffd",
        "a\ufffd b \ufffd",
        "\U0001f600 \ufffd",
    )


def test_a_byte_order_mark_is_skipped():
    assert judged_exchange(decode_event(b'\xef\xbb\xbf{"prompt": "a"}')).prompt == "a"


@pytest.mark.parametrize("number", [b"1" * 1_000_000, b"-1." + b"7" * 1_000_000, b"9" * 320])
def test_a_number_of_any_length_is_read_or_null(number):
    event = decode_event(b'{"prompt": "a\\ud83d", "metadata": ' + number + b"}")
    assert judged_exchange(event).prompt == "a\ufffd"


@pytest.mark.parametrize("start", [b"[", b'{"a":', b'{"prompt": "\\ud83d", "metadata": ' + b"["])
def test_deep_nesting_is_no_event(start):
    for value in (start * 100_000, start + b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000):
        with pytest.raises(NotAnEvent):
            decode_event(value)
