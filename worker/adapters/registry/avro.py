"""Avro: a schema becomes a function that reads its values as JSON data.

fastavro parses and checks the schemas. Its reader is not used: bytes that nest a recursive type
deeply overflow the stack and kill the process, a block of a billion empty items fills the memory,
and a timestamp out of range fails a record.

Bytes and fixed become base64, enums their symbol, numbers that are not finite None, and logical
types what `avro_logical` says.
"""

import math
import struct
from collections.abc import Callable
from typing import Any

from worker.adapters.registry.avro_logical import as_base64, logical_conversion
from worker.adapters.registry.budget import Budget, check_depth
from worker.adapters.registry.frames import Frame, read_varint
from worker.domain.errors import NotAnEvent

_FLOAT = struct.Struct("<f")
_DOUBLE = struct.Struct("<d")


class Cursor:
    """A position in the bytes of a value."""

    __slots__ = ("at", "budget", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.budget = Budget()

    def long(self) -> int:
        """The next number."""
        at = self.at
        # most numbers are lengths and indexes below 64
        if at < len(self.data) and (byte := self.data[at]) < 0x80:
            self.at = at + 1
            return (byte >> 1) ^ -(byte & 1)
        number, self.at = read_varint(self.data, at)
        return number

    def take(self, count: int) -> bytes:
        """The next bytes."""
        start, end = self.at, self.at + count
        if count < 0 or end > len(self.data):
            raise NotAnEvent("The Avro value ends in the middle of a field.")
        self.at = end
        return self.data[start:end]


_Read = Callable[[Cursor, int], Any]


class AvroSchema:
    """Reads values of one schema.

    Args:
        schema: as `fastavro.parse_schema` returns it.
        named: every named type, by its full name.
    """

    def __init__(self, schema: Any, named: dict[str, Any]) -> None:
        self._named = named
        self._reads: dict[str, _Read] = {}
        self._read = self._compile(schema)

    def decode(self, frame: Frame) -> Any:
        """The value as JSON data; bytes after it are ignored, as by Avro's own readers.

        Raises:
            NotAnEvent: the bytes are not of this schema.
        """
        return self._read(Cursor(frame.body), 0)

    def _compile(self, schema: Any) -> _Read:
        if isinstance(schema, list):
            return _read_union([self._compile(branch) for branch in schema])
        if isinstance(schema, str):
            return _PRIMITIVES.get(schema) or self._compile_named(schema)
        if "name" in schema:
            self._named.setdefault(schema["name"], schema)
            return self._compile_named(schema["name"])
        return self._compile_unnamed(schema)

    def _compile_unnamed(self, schema: dict[str, Any]) -> _Read:
        kind = schema["type"]
        if kind == "array":
            return _read_array(self._compile(schema["items"]))
        if kind == "map":
            return _read_map(self._compile(schema["values"]))
        conversion = logical_conversion(schema) if isinstance(kind, str) else None
        if conversion is None:
            return self._compile(kind)
        return _read_converted(_take_bytes if kind == "bytes" else _PRIMITIVES[kind], conversion)

    def _compile_named(self, name: str) -> _Read:
        if name in self._reads:
            return self._reads[name]

        # a recursive type looks itself up when it is read
        def read_recursive(cursor: Cursor, depth: int) -> Any:
            return self._reads[name](cursor, depth)

        self._reads[name] = read_recursive
        schema = self._named[name]
        if schema["type"] == "enum":
            read = _read_enum(schema["symbols"])
        elif schema["type"] == "fixed":
            convert = logical_conversion(schema) or as_base64
            read = _read_converted(_take_fixed(schema["size"]), convert)
        else:
            read = _read_record([(f["name"], self._compile(f["type"])) for f in schema["fields"]])
        self._reads[name] = read
        return read


def _read_null(_cursor: Cursor, _depth: int) -> None:
    return None


def _read_boolean(cursor: Cursor, _depth: int) -> bool:
    return cursor.take(1) != b"\x00"


def _read_long(cursor: Cursor, _depth: int) -> int:
    return cursor.long()


def _read_float(cursor: Cursor, _depth: int) -> float | None:
    return _finite(_FLOAT.unpack(cursor.take(4))[0])


def _read_double(cursor: Cursor, _depth: int) -> float | None:
    return _finite(_DOUBLE.unpack(cursor.take(8))[0])


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _take_bytes(cursor: Cursor, _depth: int) -> bytes:
    return cursor.take(cursor.long())


def _read_bytes(cursor: Cursor, depth: int) -> str:
    return as_base64(_take_bytes(cursor, depth))


def _read_string(cursor: Cursor, _depth: int) -> str:
    try:
        return cursor.take(cursor.long()).decode()
    except UnicodeDecodeError:
        raise NotAnEvent("A string of the Avro value is not UTF-8.") from None


_PRIMITIVES: dict[str, _Read] = {
    "null": _read_null,
    "boolean": _read_boolean,
    "int": _read_long,
    "long": _read_long,
    "float": _read_float,
    "double": _read_double,
    "bytes": _read_bytes,
    "string": _read_string,
}


def _take_fixed(size: int) -> _Read:
    return lambda cursor, _depth: cursor.take(size)


def _read_converted(read: _Read, convert: Callable[[Any], Any]) -> _Read:
    return lambda cursor, depth: convert(read(cursor, depth))


def _read_enum(symbols: list[str]) -> _Read:
    return lambda cursor, _depth: symbols[_index(cursor, len(symbols), "enum")]


def _read_union(branches: list[_Read]) -> _Read:
    def read(cursor: Cursor, depth: int) -> Any:
        return branches[_index(cursor, len(branches), "union")](cursor, depth)

    return read


def _index(cursor: Cursor, size: int, what: str) -> int:
    index = cursor.long()
    if not 0 <= index < size:
        raise NotAnEvent(f"The Avro value has an index that its {what} does not have.")
    return index


def _read_record(fields: list[tuple[str, _Read]]) -> _Read:
    def read(cursor: Cursor, depth: int) -> dict[str, Any]:
        check_depth(depth)
        cursor.budget.spend(len(fields))
        return {name: read_field(cursor, depth + 1) for name, read_field in fields}

    return read


def _count(cursor: Cursor) -> int:
    """The number of items of the next block, 0 at the end."""
    count = cursor.long()
    if count < 0:  # the size of the block in bytes follows
        cursor.long()
        count = -count
    cursor.budget.spend(count)
    return count


def _read_array(read_item: _Read) -> _Read:
    def read(cursor: Cursor, depth: int) -> list[Any]:
        check_depth(depth)
        items: list[Any] = []
        while count := _count(cursor):
            items += [read_item(cursor, depth + 1) for _ in range(count)]
        return items

    return read


def _read_map(read_value: _Read) -> _Read:
    def read(cursor: Cursor, depth: int) -> dict[str, Any]:
        check_depth(depth)
        entries: dict[str, Any] = {}
        while count := _count(cursor):
            for _ in range(count):
                name = _read_string(cursor, depth)
                entries[name] = read_value(cursor, depth + 1)
        return entries

    return read
