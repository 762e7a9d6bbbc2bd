"""Avro's logical types as JSON data.

Dates and times become ISO 8601, decimals and UUIDs strings. A value out of range stays what the
underlying type is: one odd field does not fail a record. Unknown logical types are ignored, as
Avro's specification says.
"""

import base64
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Context
from typing import Any

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# decimals of more digits stay bytes: the time to write them grows with the square of the length
_MAX_DECIMAL_BYTES = 256
_MAX_SCALE = 1000
_UUID_BYTES = 16
_PRECISE = Context(prec=2 * _MAX_SCALE)
_PER_SECOND = {"millis": 10**3, "micros": 10**6, "nanos": 10**9}

_Convert = Callable[[Any], Any]


def logical_conversion(schema: dict[str, Any]) -> _Convert | None:
    """How a value of this schema is converted; None if it is not."""
    logical, kind = str(schema.get("logicalType")), schema["type"]
    if kind in {"bytes", "fixed"}:
        scale = schema.get("scale", 0)
        if logical == "decimal" and 0 <= scale <= _MAX_SCALE:
            return _decimal(scale)
        return _uuid if logical == "uuid" else as_base64
    if kind == "int" and logical == "date":
        return _date
    name, _, unit = logical.rpartition("-")
    if kind in {"int", "long"} and name in _MOMENTS and unit in _PER_SECOND:
        return _moment(_MOMENTS[name], _PER_SECOND[unit])
    return None


_MOMENTS: dict[str, Callable[[datetime], str]] = {
    "time": lambda at: at.time().isoformat(),
    "timestamp": datetime.isoformat,
    "local-timestamp": lambda at: at.replace(tzinfo=None).isoformat(),
}


def _moment(write: Callable[[datetime], str], per_second: int) -> _Convert:
    def convert(value: int) -> str | int:
        try:
            return write(_EPOCH + timedelta(microseconds=value * 10**6 // per_second))
        except OverflowError:
            return value

    return convert


def _date(value: int) -> str | int:
    try:
        return date.fromordinal(_EPOCH_DAY + value).isoformat()
    except (ValueError, OverflowError):
        return value


def _uuid(value: bytes) -> str:
    return str(uuid.UUID(bytes=value)) if len(value) == _UUID_BYTES else as_base64(value)


def as_base64(value: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(value).decode()


def _decimal(scale: int) -> _Convert:
    def convert(value: bytes) -> str:
        if len(value) > _MAX_DECIMAL_BYTES:
            return as_base64(value)
        number = _PRECISE.create_decimal(int.from_bytes(value, signed=True))
        return format(_PRECISE.scaleb(number, -scale), "f")

    return convert
