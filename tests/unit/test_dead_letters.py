import hashlib

from hypothesis import given
from hypothesis import strategies as st

from worker.domain.dead_letters import dead_letter
from worker.domain.errors import NotAnEvent
from worker.domain.records import Partition, Record

ERROR = NotAnEvent("The value is empty.")


def bury(record, max_bytes=1 << 20):
    return dead_letter(record, ERROR, topic="dead", group="g", max_bytes=max_bytes)


def test_the_record_is_untouched_and_headers_say_why(record):
    letter = bury(record(b"\xff\x00", key=b"k", headers=(("a", b"1"), ("a", b"2")), offset=7))
    headers = dict(letter.headers)
    assert (letter.topic, letter.key, letter.value) == ("dead", b"k", b"\xff\x00")
    assert letter.headers[:2] == (("a", b"1"), ("a", b"2"))
    assert headers["__dlq.errors.topic"] == b"events"
    assert headers["__dlq.errors.partition"] == b"0"
    assert headers["__dlq.errors.offset"] == b"7"
    assert headers["__dlq.errors.group"] == b"g"
    assert headers["__dlq.errors.delivery.count"] == b"1"
    assert headers["__dlq.errors.message"] == b"The value is empty."
    assert headers["guardstream.stage"] == b"decode"
    assert headers["guardstream.error"] == b"NotAnEvent"


def test_what_is_too_large_is_cut_and_its_sum_is_kept(record):
    value = b"x" * 5_000_000
    letter = bury(record(value))
    said = [header for _, header in letter.headers]
    assert letter.size_bytes <= 1 << 20
    assert b"5000000" in said
    assert hashlib.sha256(value).hexdigest().encode() in said


@given(
    st.integers(0, 300_000),
    st.integers(0, 20_000),
    st.lists(st.integers(0, 20_000), max_size=4),
    st.sampled_from([2_000, 10_000, 100_000]),
)
def test_a_dead_letter_can_always_be_produced(value, key, headers, max_bytes):
    record = Record(
        Partition("events", 0),
        1,
        0,
        b"k" * key,
        b"v" * value,
        tuple((f"h{at}", b"h" * size) for at, size in enumerate(headers)),
        0,
        0.0,
    )
    letter = bury(record, max_bytes)
    assert letter.size_bytes <= max_bytes
    # aiokafka refuses what has neither
    assert letter.key is not None or letter.value is not None
