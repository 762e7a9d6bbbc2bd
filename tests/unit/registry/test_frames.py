"""Frames: in front and in the header, with ids and GUIDs, and Protobuf's message indexes."""

import uuid

import pytest
from confluent_kafka.schema_registry import header_schema_id_serializer, prefix_schema_id_serializer
from confluent_kafka.schema_registry.serde import SchemaId
from confluent_kafka.serialization import MessageField, SerializationContext
from hypothesis import given
from hypothesis import strategies as st

from worker.adapters.registry.frames import SchemaKey, read_frame, read_message_indexes
from worker.domain.errors import NotAnEvent

GUID = "9b0c1f5e-2f38-4d0e-8a71-b0a4a5f0c3d2"
HEADER = "__value_schema_id"

indexes = st.lists(st.integers(0, 1000), min_size=1, max_size=5)


@given(st.integers(0, 2**32 - 1), indexes, st.binary(max_size=20))
def test_what_confluent_writes_in_front_is_read(number, path, body):
    written = SchemaId("PROTOBUF", number, message_indexes=path)
    frame = read_frame(prefix_schema_id_serializer(body, None, written), ())
    assert frame.key == SchemaKey("ids", str(number))
    assert read_message_indexes(frame) == (tuple(path), body)


@given(indexes, st.binary(max_size=20))
def test_what_confluent_writes_to_the_header_is_read(path, body):
    written = SchemaId("PROTOBUF", 7, GUID, message_indexes=path)
    context = SerializationContext("in", MessageField.VALUE, headers=[])
    value = header_schema_id_serializer(body, context, written)
    frame = read_frame(value, context.headers)
    assert frame.key == SchemaKey("guids", GUID)
    assert read_message_indexes(frame) == (tuple(path), body)


def test_the_header_holds_an_id_too_and_wins_over_the_front():
    frame = read_frame(b"\x00\x00\x00\x00\x05ab", [(HEADER.upper(), b"\x00\x00\x00\x00\x09")])
    assert frame.key == SchemaKey("ids", "9")
    assert read_message_indexes(frame) == ((0,), b"\x00\x00\x00\x00\x05ab")


def test_a_guid_is_read_in_front():
    frame = read_frame(b"\x01" + uuid.UUID(GUID).bytes + b"ab", ())
    assert (frame.key, frame.body) == (SchemaKey("guids", GUID), b"ab")


@pytest.mark.parametrize(
    ("value", "headers", "said"),
    [
        (b"", [], "no frame of a schema registry"),
        (b"\x00\x00\x00\x00", [], "no frame"),
        (b'{"id": "a"}', [], "set input.framing to none"),
        (b"\x02\x00\x00\x00\x00", [], "no frame"),
        (b"\x01" + b"a" * 15, [], "no frame"),
        (b"\x00\x00\x00\x00\x01", [(HEADER, b"")], "holds no schema id"),
        (b"\x00\x00\x00\x00\x01", [(HEADER, None)], "holds no schema id"),
        (b"\x00\x00\x00\x00\x01", [(HEADER, b"1234")], "holds no schema id"),
    ],
)
def test_a_value_without_a_frame_is_no_event(value, headers, said):
    with pytest.raises(NotAnEvent, match=said):
        read_frame(value, headers)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "cut off"),
        (b"\x02", "cut off"),
        (b"\x80" * 5, "cut off"),
        (b"\xff" * 11, "cut off"),
        (b"\x01", "-1 Protobuf message indexes"),
        (b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "message indexes: it is damaged"),
    ],
)
def test_damaged_message_indexes_are_no_event(body, said):
    with pytest.raises(NotAnEvent, match=said):
        read_message_indexes(read_frame(b"\x00\x00\x00\x00\x01" + body, ()))
