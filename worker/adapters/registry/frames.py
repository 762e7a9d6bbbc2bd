"""Which schema a value was written with: the frames of Confluent's serialisers.

A frame is byte 0 and a schema id of four bytes, or byte 1 and a GUID of 16 bytes. It is in front of
the value, or in the header `__value_schema_id`, which has precedence.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from worker.decoding.framing import SCHEMA_ID_HEADER
from worker.domain.errors import NotAnEvent

_ID_BYTES = 4
_GUID_BYTES = 16
# levels of nested messages; Protobuf's own limit for nested values is 100
_MAX_MESSAGE_INDEXES = 100
_MAX_VARINT_BYTES = 10
_MAX_VARINT = 2**64 - 1
_FIRST_MESSAGE = (0,)


class SchemaKey(NamedTuple):
    """What a frame names a schema by.

    Attributes:
        kind: the collection of the registry's API.
        value: the id or the GUID.
    """

    kind: str
    value: str

    def __str__(self) -> str:
        return f"schema {self.value}"


@dataclass(frozen=True, slots=True)
class Frame:
    """A value, and what its frame says.

    Attributes:
        key: the schema.
        body: the value without the frame.
        indexes: the bytes after the id in the header, where Protobuf's message indexes are then;
            None when the frame is in front of the value, and the indexes are in the body.
    """

    key: SchemaKey
    body: bytes
    indexes: bytes | None = None


def read_frame(value: bytes, headers: Iterable[tuple[str, bytes | None]]) -> Frame:
    """The frame of a value.

    Raises:
        NotAnEvent: there is none.
    """
    for name, content in headers:
        if name.lower() == SCHEMA_ID_HEADER:
            if (found := _read_key(content or b"")) is None:
                raise NotAnEvent(
                    f"The header {SCHEMA_ID_HEADER} holds no schema id: neither byte 0 and 4 bytes,"
                    " nor byte 1 and a GUID of 16 bytes."
                )
            return Frame(found[0], value, found[1])
    if (found := _read_key(value)) is None:
        raise NotAnEvent(
            "The value has no frame of a schema registry (byte 0 and a schema id), and the record"
            f" has no header {SCHEMA_ID_HEADER}: set input.framing to none for JSON without one."
        )
    return Frame(*found)


def _read_key(data: bytes) -> tuple[SchemaKey, bytes] | None:
    if data[:1] == b"\x00" and len(data) > _ID_BYTES:
        end = 1 + _ID_BYTES
        return SchemaKey("ids", str(int.from_bytes(data[1:end]))), data[end:]
    if data[:1] == b"\x01" and len(data) > _GUID_BYTES:
        end = 1 + _GUID_BYTES
        return SchemaKey("guids", str(uuid.UUID(bytes=data[1:end]))), data[end:]
    return None


def read_message_indexes(frame: Frame) -> tuple[tuple[int, ...], bytes]:
    """The path of the message's type within its Protobuf file, and the message.

    Raises:
        NotAnEvent: the indexes are damaged.
    """
    if frame.indexes is None:
        path, end = _read_indexes(frame.body)
        return path, frame.body[end:]
    # a header of an id alone means the first message of the file
    return (_read_indexes(frame.indexes)[0] if frame.indexes else _FIRST_MESSAGE), frame.body


def _read_indexes(data: bytes) -> tuple[tuple[int, ...], int]:
    count, at = read_varint(data, 0)
    if not 0 <= count <= _MAX_MESSAGE_INDEXES:
        raise NotAnEvent(f"The frame has {count} Protobuf message indexes: it is damaged.")
    path = []
    for _ in range(count):
        index, at = read_varint(data, at)
        path.append(index)
    return tuple(path) or _FIRST_MESSAGE, at


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A zigzag number of variable length, and the position behind it.

    Raises:
        NotAnEvent: the bytes end, or it has more than 64 bits.
    """
    number = 0
    for count, byte in enumerate(data[at : at + _MAX_VARINT_BYTES]):
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80 and number <= _MAX_VARINT:
            return (number >> 1) ^ -(number & 1), at + count + 1
    raise NotAnEvent("A number of the value is cut off or has more than 64 bits.")
