"""Lenient JSON: what a strict parser refuses is read where its meaning is clear.

Python's `json.dumps` writes `NaN` and `Infinity`, JavaScript truncates text in the middle of an
emoji, Windows programs start a file with a byte-order mark. Values that the strict parser accepts
are parsed only once.
"""

import json
import math
from typing import Any

import orjson

from worker.decoding.framing import explain_binary
from worker.domain.errors import NotAnEvent

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# integers up to this length are finite floats, and the strict parser reads them as floats
_MAX_INTEGER_CHARACTERS = 300
_MAX_FLOAT_CHARACTERS = 1000


def parse_json(value: bytes) -> Any:
    """The JSON of a value, without lone surrogates and non-finite numbers.

    Lone surrogates become U+FFFD; `NaN`, `Infinity` and numbers out of range become null.

    Raises:
        NotAnEvent: it is not JSON; the message names the format if it is recognised.
    """
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return _parse_leniently(value)


def _parse_leniently(value: bytes) -> Any:
    if (binary := explain_binary(value)) is not None:
        raise NotAnEvent(binary)
    body = value.removeprefix(_BYTE_ORDER_MARK)
    if not body.strip():
        raise NotAnEvent("The value is empty.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotAnEvent(f"The value is not UTF-8 (byte {error.start}).") from None
    try:
        found = json.loads(
            text, parse_constant=_nothing, parse_float=_finite, parse_int=_bounded_integer
        )
        # encoded and parsed again, so that the result is that of the strict parser
        written = json.dumps(found, ensure_ascii=False).encode("utf-16-le", "surrogatepass")
        return orjson.loads(written.decode("utf-16-le", "replace"))
    except RecursionError:
        raise NotAnEvent("The value is JSON that is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise NotAnEvent(_not_json(text, error)) from None


def _nothing(_: str) -> None:
    return None


def _finite(text: str) -> float | None:
    if len(text) > _MAX_FLOAT_CHARACTERS:
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _bounded_integer(text: str) -> int | None:
    return int(text) if len(text) <= _MAX_INTEGER_CHARACTERS else None


def _not_json(text: str, error: json.JSONDecodeError) -> str:
    if error.msg == "Extra data" and text[error.pos : error.pos + 1] in {"{", "["}:
        return "The value holds more than one JSON document: produce each event as its own record."
    return f"The value is not JSON (line {error.lineno}, column {error.colno})."
