"""Numbers and strings of CEL."""

import math

_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    **{mark: mark for mark in "\\'\"`?"},
}
_HEX_DIGITS = {"x": 2, "X": 2, "u": 4, "U": 8}
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def read_number(text: str) -> int | float:
    """A number: an integer of 64 bits, or a double.

    Raises:
        ValueError: it is out of range.
    """
    sign = -1 if text.startswith("-") else 1
    digits = text.removeprefix("-")
    if digits.lower().startswith("0x"):
        return fit(sign * int(digits, 16))
    if digits.isdecimal():
        # Python refuses to read very long ones
        return fit(sign * int(digits[-4_000:].lstrip("0") or "0"))
    number = float(text)
    if math.isinf(number):
        raise ValueError("the number is out of range")
    return number


def fit(number: int) -> int:
    """The integer.

    Raises:
        ValueError: it does not fit 64 bits.
    """
    if not _SMALLEST <= number <= _LARGEST:
        raise ValueError("the number is out of range")
    return number


def read_string(text: str) -> str:
    """A string without its quotes, with its escapes read.

    Raises:
        ValueError: it has an escape that does not exist.
    """
    is_raw = text[0] in "rR"
    body = text[1:] if is_raw else text
    quotes = 3 if body[:3] in ('"""', "'''") and len(body) >= 6 else 1
    body = body[quotes:-quotes]
    return body if is_raw or "\\" not in body else _unescape(body)


def _unescape(body: str) -> str:
    read: list[str] = []
    at = 0
    while at < len(body):
        if body[at] != "\\":
            read.append(body[at])
            at += 1
            continue
        mark = body[at + 1 : at + 2]
        if mark in _ESCAPES:
            read.append(_ESCAPES[mark])
            at += 2
            continue
        base, start, count = (
            (16, at + 2, _HEX_DIGITS[mark]) if mark in _HEX_DIGITS else (8, at + 1, 3)
        )
        digits = body[start : start + count]
        read.append(_character(digits, base, count, f"\\{mark}"))
        at = start + count
    return "".join(read)


def _character(digits: str, base: int, count: int, escape: str) -> str:
    try:
        code = int(digits, base) if len(digits) == count and digits.isalnum() else -1
    except ValueError:
        code = -1
    if not 0 <= code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF or (base == 8 and code > 0o377):
        raise ValueError(
            f'there is no escape {escape}; a backslash is written \\\\, or the string as r"..."'
        )
    return chr(code)


def unterminated_string(text: str) -> int | None:
    """Where a string begins that has no end; None where all strings of an expression have one.

    The library's pattern for strings takes exponential time for one without an end.
    """
    at = 0
    while at < len(text):
        if text.startswith("//", at):
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        elif text[at] not in "'\"":
            at += 1
        else:
            after = _end_of_string(text, at)
            if after is None:
                return at
            at = after
    return None


def _end_of_string(text: str, start: int) -> int | None:
    quotes = text[start] * 3 if text.startswith(text[start] * 3, start) else text[start]
    at = start + len(quotes)
    while at < len(text):
        if text.startswith(quotes, at):
            return at + len(quotes)
        if text[at] == "\n" and len(quotes) == 1:
            return None
        # in a raw string too: the library reads a quote after a backslash as part of it
        at += 2 if text[at] == "\\" else 1
    return None
