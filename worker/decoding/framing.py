"""Frames around the JSON of a value, and the detection of values that are not JSON."""

from collections.abc import Mapping
from typing import Literal

from worker.domain.errors import NotAnEvent

Framing = Literal["none", "confluent", "registry"]

# header of a schema id, written by Confluent serialisers that add no frame to the value
SCHEMA_ID_HEADER = "__value_schema_id"
# byte 0, and a schema id of four bytes
_FRAME_BYTES = 5
# the first bytes of a value, by which text and binary data are distinguished
_LOOKED_AT_BYTES = 256
_TEXT_CONTROLS = frozenset(b"\t\n\r\f\b")
_JSON_ONLY = "only JSON is read, so produce the event with a JSON serialiser"
_BY_SCHEMA = "set input.framing to registry, which reads Avro and Protobuf by their schemas"
_COMPRESSED = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x82SNAPPY\x00", "snappy"),
    (b"\xff\x06\x00\x00sNaPpY", "snappy"),
)


def unframe(
    value: bytes, framing: Framing, headers: Mapping[str, bytes | None] | None = None
) -> bytes:
    """The JSON of a value: what follows byte 0 and a schema id, unless the framing is `none`.

    Serialisers of Confluent's schema registry write that frame, or write the schema id to a
    header and no frame; both are read. The schema is not fetched: events are validated without it.

    Raises:
        NotAnEvent: there is no frame and no such header, or binary data follows the frame.
    """
    if framing == "none":
        return value
    if len(value) < _FRAME_BYTES or value[0]:
        if headers and any(name.lower() == SCHEMA_ID_HEADER for name in headers):
            return value
        raise NotAnEvent(
            "The value has no frame of a schema registry (byte 0 and a schema id):"
            " set input.framing to none for values without one."
        )
    body = value[_FRAME_BYTES:]
    if _is_binary(body):
        raise NotAnEvent(
            "The value behind the schema registry's frame is binary, as Avro or Protobuf are:"
            f" {_BY_SCHEMA}."
        )
    return body


def explain_binary(value: bytes) -> str | None:
    """The format of a value that is not UTF-8 JSON, and what to do; None for likely text."""
    for signature, name in _COMPRESSED:
        if value.startswith(signature):
            return (
                f"The value is compressed with {name}: send the JSON as it is and set the"
                " producer's compression.type."
            )
    if value.startswith(b"Obj\x01"):
        return f"The value is an Avro object container file: {_JSON_ONLY}."
    if _is_utf16(value):
        return "The value is UTF-16 or UTF-32: encode it as UTF-8."
    if len(value) > _FRAME_BYTES and value[0] == 0:
        return _explain_frame(value[_FRAME_BYTES:])
    if _is_binary(value):
        return f"The value is binary, as Avro or Protobuf are: {_JSON_ONLY}."
    return None


def _explain_frame(body: bytes) -> str:
    if body.lstrip()[:1] in {b"{", b"["}:
        return (
            "The value begins with a schema registry's frame (byte 0 and a schema id):"
            " set input.framing to confluent."
        )
    return f"The value seems to be Avro or Protobuf behind a schema registry's frame: {_BY_SCHEMA}."


def _is_utf16(value: bytes) -> bool:
    if value.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        return True
    # every other byte of ASCII text in UTF-16 is 0
    start = value[:4]
    little = len(start) == 4 and start[0] in b"{[" and start[1] == start[3] == 0
    big = len(start) == 4 and start[1] in b"{[" and start[0] == start[2] == 0 and start[3] != 0
    return little or big


def _is_binary(value: bytes) -> bool:
    if value[:1] in {b"{", b"["}:
        return False
    return any(byte < 32 and byte not in _TEXT_CONTROLS for byte in value[:_LOOKED_AT_BYTES])
