import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.house import House
from worker.errors import NotAnEvent, NothingToJudge, RecordError
from worker.events import decode_event, judged_exchange, unframe


def exchange(**fields):
    found = judged_exchange(decode_event(orjson.dumps(fields)))
    return found.prompt, found.response


def turns(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


def test_the_last_user_message_and_its_answer_are_judged():
    messages = turns(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    assert exchange(messages=messages) == ("c", "d")
    assert exchange(messages=messages[:3]) == ("c", None)


def test_an_assistant_that_calls_a_tool_answers_last():
    messages = turns(("user", "a"), ("assistant", "wait"), ("tool", "1"), ("assistant", "b"))
    assert exchange(messages=messages) == ("a", "b")


def test_the_short_form_keeps_an_empty_response_apart_from_none():
    assert exchange(prompt="a", response="") == ("a", "")
    assert exchange(prompt="a", response=None) == ("a", None)


def test_text_parts_are_joined():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert exchange(messages=turns(("user", parts))) == ("a\nb", None)


def test_a_structured_cloudevent_lends_its_id_and_time():
    envelope = {
        "specversion": "1.0",
        "id": "ce-1",
        "time": "2026-01-01T00:00:00Z",
        "data": {"prompt": "a"},
    }
    event = decode_event(orjson.dumps(envelope))
    assert event.id == "ce-1"
    assert event.occurred_at is not None


def test_a_binary_cloudevent_lends_its_id():
    event = decode_event(b'{"prompt": "a"}', {"ce_specversion": b"1.0", "ce_id": b"ce-2"})
    assert event.id == "ce-2"


@pytest.mark.parametrize("name", ["content-type", "ce_specversion", "ce_id", "ce_time"])
def test_a_header_without_a_value_stops_nobody(name):
    headers = {"ce_specversion": b"1.0", "ce_id": b"ce-2", "ce_time": b"2026-01-01T00:00:00Z"}
    assert decode_event(b'{"id": "a", "prompt": "a"}', headers | {name: None}).id == "a"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"", "The value is empty."),
        (b'{"prompt": "a', "line 1"),
        (b"[]", "an array instead of an object"),
        (b"7", "a number instead of an object"),
        (b"{}", "messages or prompt is required"),
        (b'{"prompt": "a", "messages": []}', "not both"),
        (b'{"messages": [{"role": "robot", "content": "a"}]}', "messages.0.role"),
        (b'{"prompt": "a", "occurred_at": "yesterday"}', "occurred_at"),
        (b'{"specversion": "1.0", "data": "text"}', "no JSON object as its data"),
    ],
)
def test_what_is_not_an_event_is_said_in_a_sentence(value, said):
    with pytest.raises(NotAnEvent) as caught:
        decode_event(value)
    assert said in str(caught.value)


def test_messages_of_errors_never_quote_the_event():
    with pytest.raises(NotAnEvent) as caught:
        decode_event(b'{"prompt": {"secret": "hunter2"}, "user_id": ["hunter2"]}')
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("fields", [{"prompt": " \n"}, {"messages": []}])
def test_without_a_request_there_is_nothing_to_judge(fields):
    with pytest.raises(NothingToJudge):
        exchange(**fields)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["id", "messages", "role", "content", "prompt", "type", "text", "data"]
            ),
            inner,
            max_size=5,
        )
    ),
)


@given(st.binary(max_size=60) | JSON.map(orjson.dumps))
def test_any_bytes_are_an_event_or_a_record_error(value):
    with contextlib.suppress(RecordError):
        judged_exchange(decode_event(value))


FRAME = b"\x00\x00\x00\x00\x07"


@pytest.mark.parametrize(
    ("framing", "value", "read"),
    [
        ("none", b"{}", b"{}"),
        ("none", FRAME + b"{}", FRAME + b"{}"),
        ("confluent", FRAME + b"{}", b"{}"),
        ("confluent", FRAME, b""),
    ],
)
def test_a_registrys_frame_is_taken_off_where_it_is_expected(framing, value, read):
    assert unframe(value, framing) == read


@pytest.mark.parametrize("value", [b"", b"{}", b'{"prompt": "hello"}', FRAME[:4], b"\x01" + FRAME])
def test_what_has_no_frame_where_one_is_expected_is_no_event(value):
    with pytest.raises(NotAnEvent, match="no frame of a schema registry"):
        unframe(value, "confluent")


async def test_a_worker_reads_behind_the_frame_and_buries_the_value_whole():
    house = House("at_least_once", framing="confluent")
    house.bus.append("events", value=FRAME + b'{"id": "1", "prompt": "hello"}', key=b"k")
    house.bus.append("events", value=FRAME + b"nonsense", key=b"k")
    async with house.running():
        await house.until(lambda: house.delivery.settled == 2)
    assert house.judged() == ["1"]
    (letter,) = house.bus.topic("dead")
    assert letter.value == FRAME + b"nonsense"
