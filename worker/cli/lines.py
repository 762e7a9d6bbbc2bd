"""JSON Lines in, JSON Lines out."""

import sys
from collections.abc import Iterator
from typing import Any

import orjson

from worker.domain.errors import GuardstreamError


class BadLine(GuardstreamError):  # noqa: N818
    """A line of the input cannot be read."""


def read_lines() -> Iterator[tuple[int, bytes]]:
    """Numbered lines of stdin that are not blank."""
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if line.strip():
            yield number, line


def write_line(value: Any) -> None:
    """One JSON line on stdout."""
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()
