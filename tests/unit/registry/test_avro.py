"""Avro: as fastavro reads it, and bounded for bytes of any kind."""

import base64
import io
import math
import struct
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal

import fastavro
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.adapters.registry.avro import AvroSchema
from worker.adapters.registry.budget import MAX_DEPTH, MAX_VALUES
from worker.adapters.registry.frames import Frame, SchemaKey
from worker.domain.errors import NotAnEvent

NODE = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
EVENT = {
    "type": "record",
    "name": "Ev",
    "namespace": "chat",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "count", "type": "long"},
        {"name": "small", "type": {"type": "int"}},
        {"name": "share", "type": "double"},
        {"name": "less", "type": "float"},
        {"name": "is_new", "type": "boolean"},
        {"name": "raw", "type": "bytes"},
        {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 3}},
        {"name": "role", "type": {"type": "enum", "name": "Role", "symbols": ["user", "bot"]}},
        {"name": "either", "type": ["null", "string", "Role", {"type": "array", "items": "long"}]},
        {"name": "labels", "type": {"type": "map", "values": ["null", "string"]}},
        {
            "name": "parts",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Part",
                    "fields": [
                        {"name": "text", "type": "string"},
                        {"name": "parts", "type": {"type": "array", "items": "Part"}},
                    ],
                },
            },
        },
    ],
}

parts = st.recursive(
    st.builds(lambda text: {"text": text, "parts": []}, st.text()),
    lambda inner: st.builds(
        lambda text, found: {"text": text, "parts": found}, st.text(), st.lists(inner, max_size=3)
    ),
    max_leaves=8,
)
numbers = st.integers(-(2**63), 2**63 - 1)
events = st.fixed_dictionaries(
    {
        "id": st.text(),
        "count": numbers,
        "small": st.integers(-(2**31), 2**31 - 1),
        "share": st.floats(allow_nan=False, allow_infinity=False),
        "less": st.floats(width=32, allow_nan=False, allow_infinity=False),
        "is_new": st.booleans(),
        "raw": st.binary(),
        "hash": st.binary(min_size=3, max_size=3),
        "role": st.sampled_from(["user", "bot"]),
        "either": st.one_of(st.none(), st.text(), st.lists(numbers)),
        "labels": st.dictionaries(st.text(), st.one_of(st.none(), st.text())),
        "parts": st.lists(parts, max_size=4),
    }
)


def compiled(schema):
    named = {}
    return AvroSchema(fastavro.parse_schema(schema, named_schemas=named), named)


COMPILED = {name: compiled(schema) for name, schema in (("Ev", EVENT), ("Node", NODE))}
PARSED_EVENT = fastavro.parse_schema(EVENT)


def write(schema, value):
    written = io.BytesIO()
    parsed = PARSED_EVENT if schema is EVENT else fastavro.parse_schema(schema)
    fastavro.schemaless_writer(written, parsed, value)
    return written.getvalue()


def read(schema, body):
    known = COMPILED.get(schema.get("name")) if isinstance(schema, dict) else None
    return (known or compiled(schema)).decode(Frame(SchemaKey("ids", "1"), body))


def is_json_or_no_event(schema, body):
    try:
        found = read(schema, body)
    except NotAnEvent:
        return True
    return orjson.loads(orjson.dumps(found)) == found


@given(events)
def test_what_fastavro_writes_is_read(event):
    wanted = {**event, "raw": base64.b64encode(event["raw"]).decode()}
    wanted["hash"] = base64.b64encode(event["hash"]).decode()
    assert read(EVENT, write(EVENT, event)) == wanted


@pytest.mark.parametrize(
    ("kind", "logical", "value", "wanted"),
    [
        ("int", {"logicalType": "date"}, date(2026, 11, 28), "2026-11-28"),
        ("int", {"logicalType": "time-millis"}, time(1, 2, 3, 4000), "01:02:03.004000"),
        ("long", {"logicalType": "time-micros"}, time(1, 2, 3, 4), "01:02:03.000004"),
        (
            "long",
            {"logicalType": "timestamp-millis"},
            datetime(2026, 11, 28, 1, tzinfo=UTC),
            "2026-11-28T01:00:00+00:00",
        ),
        (
            "long",
            {"logicalType": "timestamp-micros"},
            datetime(1969, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
            "1969-01-01T00:00:00.000001+00:00",
        ),
        ("long", {"logicalType": "timestamp-nanos"}, 1_500, "1970-01-01T00:00:00.000001+00:00"),
        (
            "long",
            {"logicalType": "local-timestamp-millis"},
            datetime(2026, 11, 28, 1),  # noqa: DTZ001 - it has no zone
            "2026-11-28T01:00:00",
        ),
        (
            "bytes",
            {"logicalType": "decimal", "precision": 9, "scale": 2},
            Decimal("-1.25"),
            "-1.25",
        ),
        ("string", {"logicalType": "uuid"}, uuid.UUID(int=5), str(uuid.UUID(int=5))),
        ("long", {"logicalType": "unheard-of"}, 5, 5),
        ("bytes", {"logicalType": "unheard-of"}, b"ab", "YWI="),
    ],
)
def test_logical_types_become_text(kind, logical, value, wanted):
    schema = {"type": kind, **logical}
    assert read(schema, write(schema, value)) == wanted


def test_a_fixed_decimal_and_a_fixed_uuid_become_text():
    fixed = {"type": "fixed", "name": "F", "size": 16}
    decimal = {**fixed, "logicalType": "decimal", "precision": 9, "scale": 3}
    assert read(decimal, (12345).to_bytes(16)) == "12.345"
    assert read({**fixed, "logicalType": "uuid"}, bytes(16)) == str(uuid.UUID(int=0))


@pytest.mark.parametrize("logical", ["timestamp-millis", "time-micros", "timestamp-nanos"])
def test_a_time_out_of_range_stays_a_number(logical):
    largest = 2**63 - 1
    found = read({"type": "long", "logicalType": logical}, write("long", largest))
    assert found == largest or isinstance(found, str)
    assert read({"type": "int", "logicalType": "date"}, write("int", 2**31 - 1)) == 2**31 - 1


def test_numbers_that_are_not_finite_are_none():
    assert read("double", struct.pack("<d", math.nan)) is None
    assert read("float", struct.pack("<f", -math.inf)) is None


def test_a_decimal_of_many_digits_stays_bytes():
    schema = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    assert read(schema, write("bytes", b"\x01" * 100_000)) == base64.b64encode(
        b"\x01" * 100_000
    ).decode("ascii")


def test_blocks_with_their_size_are_read():
    body = b"\x03" + b"\x04" + b"\x02\x04" + b"\x00"  # -2 items, of 2 bytes: 1 and 2
    assert read({"type": "array", "items": "long"}, body) == [1, 2]


def number(value):
    return write("long", value)


@pytest.mark.parametrize(
    ("schema", "body", "said"),
    [
        ("string", number(10) + b"short", "ends in the middle"),
        ("string", number(2**40), "ends in the middle"),
        ("string", number(-5) + b"12345", "ends in the middle"),
        ("bytes", number(2**62), "ends in the middle"),
        ("string", number(2) + b"\xff\xff", "not UTF-8"),
        ("long", b"\xff" * 20, "more than 64 bits"),
        ("long", b"\xff" * 9 + b"\x02", "more than 64 bits"),
        ("long", b"", "cut off"),
        ("double", b"1234567", "ends in the middle"),
        (["null", "long"], number(2), "index that its union does not have"),
        (["null", "long"], number(-1), "index that its union does not have"),
        ({"type": "enum", "name": "E", "symbols": ["a"]}, number(1), "its enum does not have"),
        ({"type": "array", "items": "null"}, number(2**60) + b"\x00", "more than"),
        ({"type": "array", "items": "null"}, number(-(2**63)) + number(0), "more than"),
        ({"type": "map", "values": "null"}, number(2**40), "more than"),
        (
            {"type": "array", "items": {"type": "record", "name": "R", "fields": []}},
            number(MAX_VALUES + 1),
            "more than",
        ),
        (
            {"type": "array", "items": "null"},
            (number(MAX_VALUES // 2) * 3) + b"\x00",
            "more than",
        ),
        (NODE, b"\x02" * 1_000_000, "nested more than"),
        (NODE, b"\x02" * (MAX_DEPTH + 1) + b"\x00", "nested more than"),
        (
            {"type": "record", "name": "Self", "fields": [{"name": "again", "type": "Self"}]},
            b"",
            "nested more than",
        ),
    ],
)
def test_damaged_and_hostile_bytes_are_no_event(schema, body, said):
    with pytest.raises(NotAnEvent, match=said):
        read(schema, body)


def test_nesting_is_read_to_its_limit():
    assert read(NODE, b"\x02" * MAX_DEPTH + b"\x00")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_no_event(body):
    for schema in (EVENT, NODE):
        assert is_json_or_no_event(schema, body)


@given(events, st.data())
def test_any_change_of_a_value_is_a_value_or_no_event(event, data):
    body = bytearray(write(EVENT, event))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
    assert is_json_or_no_event(EVENT, bytes(body))
