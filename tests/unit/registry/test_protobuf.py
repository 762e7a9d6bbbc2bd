"""Protobuf: messages of a dynamic schema as JSON data, and bounded for bytes of any kind."""

import math

import orjson
import pytest
from google.protobuf import any_pb2, struct_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from worker.adapters.registry.budget import MAX_DEPTH, MAX_VALUES
from worker.adapters.registry.errors import SchemaUnusable
from worker.adapters.registry.frames import Frame, SchemaKey
from worker.adapters.registry.protobuf import ProtobufSchema
from worker.adapters.registry.protoc import compile_text
from worker.domain.errors import NotAnEvent

KEY = SchemaKey("ids", "1")
EVENT = """
syntax = "proto3";
package chat;
import "parts/part.proto";
import "google/protobuf/any.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/type/date.proto";
message Before { message Within { bytes raw = 1; } }
message Ev {
  string user_id = 1;
  int64 count = 2;
  double share = 3;
  Role role = 4;
  repeated parts.Part parts = 5;
  map<string, int64> counts = 6;
  map<bool, parts.Part> by_flag = 7;
  oneof either { string text = 8; bytes raw = 9; }
  optional bool is_new = 10;
  repeated int32 numbers = 11;
  google.protobuf.Timestamp at = 12;
  google.protobuf.Struct more = 13;
  google.protobuf.Int64Value wrapped = 14;
  google.protobuf.Any any = 15;
  google.type.Date day = 16;
  Ev again = 17;
  repeated google.protobuf.Value values = 18;
}
enum Role { ROLE_UNKNOWN = 0; ROLE_USER = 1; }
"""
PART = 'syntax = "proto3"; package parts; message Part { string text = 1; }'
EV, WITHIN = b"\x02\x02", b"\x04\x00\x00"


@pytest.fixture(scope="module")
def files():
    import asyncio  # noqa: PLC0415 - a fixture of the module has no loop

    texts = {"root.proto": EVENT, "parts/part.proto": PART}
    return asyncio.run(compile_text(texts, {}, "root.proto"))


@pytest.fixture(scope="module")
def schema(files):
    return ProtobufSchema(files)


@pytest.fixture(scope="module")
def new(files):
    pool = DescriptorPool()
    for file in files:
        pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("chat.Ev"))


def read(schema, body, path=EV):
    return schema.decode(Frame(KEY, path + body))


def test_fields_have_the_names_and_types_of_the_schema(schema, new):
    message = new(user_id="ü", count=2**60, share=0.5, role=1, raw=b"ab", is_new=False)
    message.parts.add(text="a")
    message.parts.add()
    message.counts["x"] = 3
    message.by_flag[True].text = "b"
    message.numbers.extend([1, 2])
    message.wrapped.value = 5
    message.day.year = 2026
    assert read(schema, message.SerializeToString()) == {
        "user_id": "ü",
        "count": 2**60,
        "share": 0.5,
        "role": "ROLE_USER",
        "raw": "YWI=",
        "is_new": False,
        "parts": [{"text": "a"}, {}],
        "counts": {"x": 3},
        "by_flag": {"true": {"text": "b"}},
        "numbers": [1, 2],
        "wrapped": 5,
        "day": {"year": 2026},
    }


def test_well_known_types_become_json(schema, new):
    message = new(at={"seconds": 1, "nanos": 5_000_000})
    message.more.update({"a": [1, 2.5, None, True, {"b": "c"}]})
    message.values.add(null_value=struct_pb2.NULL_VALUE)
    message.values.add()
    message.any.Pack(wrappers_pb2.StringValue(value="packed"))
    kind = "type.googleapis.com/google.protobuf.StringValue"
    assert read(schema, message.SerializeToString()) == {
        "at": "1970-01-01T00:00:01.005Z",
        "more": {"a": [1, 2.5, None, True, {"b": "c"}]},
        "values": [None, None],
        "any": {"@type": kind, "value": "packed"},
    }


def test_a_message_of_unknown_type_stays_bytes(schema, new):
    packed = {"type_url": "x/not.Known", "value": b"ab"}
    assert read(schema, new(any=packed).SerializeToString())["any"] == {
        "@type": "x/not.Known",
        "value": "YWI=",
    }


def test_what_json_has_not_is_none_or_a_number(schema, new):
    message = new(share=math.nan, role=77, at={"seconds": 2**60})
    assert read(schema, message.SerializeToString()) == {"share": None, "role": 77, "at": None}


def test_the_indexes_choose_the_message(schema):
    assert read(schema, b"\x0a\x02ab", WITHIN) == {"raw": "YWI="}
    assert read(schema, b"", b"\x00") == {}
    header = Frame(KEY, b"\x0a\x02ab", WITHIN)
    assert schema.decode(header) == {"raw": "YWI="}
    assert schema.decode(Frame(KEY, b"", b"")) == {}


@pytest.mark.parametrize("path", [b"\x02\x06", b"\x02\x01", b"\x04\x00\x06"])
def test_an_index_of_no_message_is_no_event(schema, path):
    with pytest.raises(NotAnEvent, match="a message that the Protobuf schema has not"):
        read(schema, b"", path)


def nested(depth):
    body = b""
    for _ in range(depth):
        length, rest = bytearray(), len(body)
        while rest > 0x7F:
            length.append(rest & 0x7F | 0x80)
            rest >>= 7
        length.append(rest)
        body = b"\x8a\x01" + length + body
    return body


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\x0a\x7fshort", "not a Protobuf message chat.Ev"),
        (b"\x0a\xff\xff\xff\xff\x0f", "not a Protobuf message chat.Ev"),
        (b"\x0a\x02\xff\xff", "not a Protobuf message chat.Ev"),
        (nested(1000), "not a Protobuf message chat.Ev"),
        (nested(MAX_DEPTH + 1), "nested more than"),
        (b"\x2a\x00" * (MAX_VALUES + 1), "more than"),
        (b"\x5a\xc0\x9a\x0c" + b"\x01" * 200_000, "more than"),
        (b"\x92\x01\x00" * (MAX_VALUES + 1), "more than"),
    ],
)
def test_damaged_and_hostile_bytes_are_no_event(schema, body, said):
    with pytest.raises(NotAnEvent, match=said):
        read(schema, body)


def test_any_within_any_is_read_to_the_limit(schema, new):
    message = wrappers_pb2.StringValue(value="deep")
    for _ in range(MAX_DEPTH + 2):
        packed = any_pb2.Any()
        packed.Pack(message)
        message = packed
    with pytest.raises(NotAnEvent, match="nested more than"):
        read(
            schema,
            new(any={"value": message.value, "type_url": message.type_url}).SerializeToString(),
        )


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_no_event(schema, body):
    for frame in (Frame(KEY, body), Frame(KEY, EV + body), Frame(KEY, body, body)):
        try:
            found = schema.decode(frame)
        except NotAnEvent:
            continue
        assert orjson.loads(orjson.dumps(found)) == found


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"root.proto": "not Protobuf"}, r"is not valid Protobuf \(root.proto:1:1"),
        ({"root.proto": 'syntax = "proto3"; import "a.proto";'}, "is not valid Protobuf"),
        ({"root.proto": PART, "../out.proto": PART}, "not a relative path"),
        ({"root.proto": PART, "/tmp/out.proto": PART}, "not a relative path"),  # noqa: S108
    ],
)
async def test_a_schema_that_does_not_compile_is_unusable(texts, said):
    with pytest.raises(SchemaUnusable, match=said):
        await compile_text(texts, {}, "root.proto")


def file(name, *imports, message="M"):
    made = FileDescriptorProto(name=name, syntax="proto3", dependency=imports)
    made.message_type.add(name=message)
    return made


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([file("a", "b")], "imports b, which is not among its references"),
        ([file("a", "google/protobuf/../os.proto")], "not among its references"),
        ([file("a", "google/protobuf/nothing.proto")], "not known here"),
        ([file("b", "a", message="N"), file("a", "b")], "a file that imports itself"),
        ([file("b"), file("a", "b")], "do not fit together"),
    ],
)
def test_files_that_do_not_fit_are_unusable(files, said):
    with pytest.raises(SchemaUnusable, match=said):
        ProtobufSchema(files)


def test_annotations_of_confluent_need_no_file():
    schema = ProtobufSchema([file("a", "confluent/meta.proto")])
    assert schema.decode(Frame(KEY, b"\x00")) == {}
