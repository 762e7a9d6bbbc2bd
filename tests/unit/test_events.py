import base64
import contextlib
import gzip
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.harness import WorkerHarness
from worker.decoding.events import decode_event, turns_of
from worker.decoding.framing import unframe
from worker.domain.errors import NotAnEvent, NothingToJudge
from worker.domain.events import judged_exchange

FRAME = b"\x00\x00\x00\x00\x07"


def exchange(**fields):
    found = judged_exchange(decode_event(orjson.dumps(fields)))
    return found.prompt, found.response


def test_the_short_form_keeps_an_empty_response_apart_from_none():
    assert exchange(prompt="a", response="") == ("a", "")
    assert exchange(prompt="a", response=None) == ("a", None)


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


@pytest.mark.parametrize(
    "data",
    [
        {"data": {"id": "a", "prompt": "b"}},
        {"data": '{"id": "a", "prompt": "b"}', "datacontenttype": "application/json"},
        {"data_base64": base64.b64encode(b'{"id": "a", "prompt": "b"}').decode()},
        {"data": None, "data_base64": base64.b64encode(b'{"id": "a", "prompt": "b"}').decode()},
    ],
)
def test_a_cloudevent_has_its_data_in_many_forms(data):
    envelope = orjson.dumps({"specversion": "1.0", "id": "ce"} | data)
    event = decode_event(envelope)
    assert (event.id, judged_exchange(event).prompt) == ("a", "b")


@pytest.mark.parametrize("name", ["content-type", "Content-Type", "contentType"])
def test_the_content_type_says_what_a_value_is(name):
    kind = b'"application/cloudevents+json; charset=utf-8"'
    envelope = b'{"id": "ce", "data": {"prompt": "a"}}'
    assert decode_event(envelope, {name: kind}).id == "ce"
    with pytest.raises(NotAnEvent, match="a batch of CloudEvents"):
        decode_event(b"[]", {name: b"application/cloudevents-batch+json"})


def test_a_cloudevents_attributes_stand_in_for_what_cannot_be_read():
    headers = {"ce_specversion": b"1.0", "CE_id": b"ce-2", "ce_time": b"2026-01-01T00:00:00Z"}
    event = decode_event(b'{"id": [1], "occurred_at": "soon", "prompt": "a"}', headers)
    assert (event.id, event.occurred_at.year) == ("ce-2", 2026)


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
        (b'{"prompt": "a", "messages": [{"role": "user", "content": "b"}]}', "not both"),
        (b'{"prompt": "a", "messages": "b"}', "not both"),
        (b'{"messages": "a"}', "messages is a string instead of an array"),
        (b'{"messages": {"1": {"role": "user"}}}', "messages is an object instead of an array"),
        (b'{"prompt": 42}', "prompt is a number instead of text"),
        (b'{"prompt": "a"}{"prompt": "b"}', "more than one JSON document"),
        (b'{"prompt": "a"}\n{"prompt": "b"}\n', "more than one JSON document"),
        (b'{"prompt": "a"} nonsense', "not JSON (line 1, column 17)"),
        (b'"{\\"prompt\\": \\"a\\"}"', "it was encoded twice"),
        (b'[{"prompt": "a"}]', "produce each event as its own record"),
        (b'{"specversion": "1.0", "data": "text"}', "no JSON object as its data"),
        (b'{"specversion": "1.0", "data_base64": "e"}', "no JSON object as its data"),
        (b'{"specversion": "1.0"}', "no JSON object as its data"),
        (b'[{"specversion": "1.0", "data": {"prompt": "a"}}]', "a batch of CloudEvents"),
        # what logs of others look like
        (b'{"choices": []}', "messages or prompt is required at the top level; by choices"),
        (b'{"input": "a", "output": "b"}', "set input.mapping to langfuse or openai-responses"),
        (b'{"gen_ai.input.messages": []}', "OpenTelemetry's gen_ai attributes"),
        (b'{"resourceSpans": []}', "OTLP traces"),
        (b'{"contents": []}', "a Gemini request body: set input.mapping to gemini."),
        (b'{"request": {}, "response": {}}', "requests and responses: guardstream map --suggest"),
        (b'{"text": "a"}', 'see "One message in each record" in docs/adopt.md'),
        (b'{"schema": {}, "payload": {}}', "set schemas.enable=false"),
        # what is not text at all
        ('{"prompt": "a"}'.encode("utf-16"), "UTF-16"),
        ('{"prompt": "a"}'.encode("utf-16-le"), "UTF-16"),
        ('{"prompt": "a"}'.encode("utf-16-be"), "UTF-16"),
        (gzip.compress(b'{"prompt": "a"}'), "compressed with gzip"),
        (b"\x28\xb5\x2f\xfd\x04", "compressed with zstd"),
        (b"Obj\x01\x04\x14avro.codec", "an Avro object container file"),
        (b"\x06m-1\x02\x0ahello", "binary, as Avro or Protobuf are"),
        (b"\x0a\x03m-1\x12\x05hello", "binary, as Avro or Protobuf are"),
        (FRAME + b'{"prompt": "a"}', "set input.framing to confluent"),
        (FRAME + b"\x00\x0a\x03m-1", "Avro or Protobuf behind a schema registry's frame"),
        (b'{"prompt": "\xff"}', "not UTF-8 (byte 12)"),
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


NAMES = st.sampled_from(
    [
        "id",
        "messages",
        "role",
        "content",
        "prompt",
        "response",
        "type",
        "text",
        "data",
        "data_base64",
        "specversion",
        "parts",
        "refusal",
        "tool_calls",
        "occurred_at",
        "model",
        "user_id",
        "metadata",
        "thought",
        "audio",
        "choices",
    ]
)
WORDS = st.sampled_from(["user", "assistant", "text", "image_url", "1.0", "model", "Obj\x01", "{}"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.characters(categories=["Cs"])
    | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": WORDS, "content": JSON}) | JSON, min_size=1, max_size=4
)
# `json.dumps` writes what strict parsers refuse: NaN, Infinity, halves of emoji
VALUES = (
    JSON
    | st.fixed_dictionaries({"messages": MESSAGES, "response": JSON, "id": JSON})
    | st.fixed_dictionaries({"prompt": JSON, "response": JSON, "occurred_at": JSON})
).map(lambda value: json.dumps(value).encode())
STARTS = st.sampled_from(
    [b"", FRAME, b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b", b"Obj\x01", b"{", b"[", b"\x00"]
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["content-type", "contentType", "ce_specversion", "ce_id", "ce_time", "__value_schema_id"]
    )
    | st.text(max_size=5),
    st.none()
    | st.binary(max_size=12)
    | st.sampled_from([b"application/cloudevents+json", b"application/cloudevents-batch+json"]),
    max_size=4,
)


@given(
    st.builds(bytes.__add__, STARTS, st.binary(max_size=60) | VALUES),
    HEADERS,
    st.sampled_from(["none", "confluent"]),
)
def test_any_bytes_are_an_exchange_or_a_record_error(value, headers, framing):
    with contextlib.suppress(NotAnEvent, NothingToJudge):
        event = decode_event(unframe(value, framing, headers), headers)
        exchange = judged_exchange(event)
        written = [exchange.prompt, exchange.response, event.id, event.model, event.tenant]
        assert orjson.loads(orjson.dumps(written)) == written
        assert list(turns_of(event))
        assert event.document().keys() >= {"id", "messages", "prompt", "occurred_at"}


@pytest.mark.parametrize(
    ("framing", "value", "read"),
    [
        ("none", b"{}", b"{}"),
        ("none", FRAME + b"{}", FRAME + b"{}"),
        ("confluent", FRAME + b"{}", b"{}"),
        ("confluent", FRAME, b""),
        ("confluent", FRAME + b' {"a": 1}', b' {"a": 1}'),
    ],
)
def test_a_registrys_frame_is_taken_off_where_it_is_expected(framing, value, read):
    assert unframe(value, framing) == read


@pytest.mark.parametrize("value", [b"", b"{}", b'{"prompt": "hello"}', FRAME[:4], b"\x01" + FRAME])
def test_what_has_no_frame_where_one_is_expected_is_no_event(value):
    with pytest.raises(NotAnEvent, match="no frame of a schema registry"):
        unframe(value, "confluent")


@pytest.mark.parametrize("name", ["__value_schema_id", "__VALUE_SCHEMA_ID"])
def test_a_schemas_id_can_stand_in_a_header_instead(name):
    assert unframe(b'{"prompt": "a"}', "confluent", {name: b"\x01" + b"g" * 16}) == (
        b'{"prompt": "a"}'
    )


@pytest.mark.parametrize("body", [b"\x00\x0a\x03m-1", b"\x06m-1\x0ahello"])
def test_avro_behind_a_frame_is_named(body):
    with pytest.raises(NotAnEvent, match="binary, as Avro or Protobuf are"):
        unframe(FRAME + body, "confluent")


async def test_a_worker_reads_behind_the_frame_and_buries_the_value_whole():
    harness = WorkerHarness("at_least_once", framing="confluent")
    harness.bus.append("events", value=FRAME + b'{"id": "1", "prompt": "hello"}', key=b"k")
    harness.bus.append("events", value=FRAME + b"nonsense", key=b"k")
    async with harness.running():
        await harness.until(lambda: harness.delivery.settled == 2)
    assert harness.judged() == ["1"]
    (letter,) = harness.bus.topic("dead")
    assert letter.value == FRAME + b"nonsense"
