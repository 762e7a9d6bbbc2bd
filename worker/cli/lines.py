"""JSON Lines on stdin and stdout."""

import sys
from collections.abc import Iterator
from typing import Any

import orjson

from worker.domain.errors import GuardstreamError


class BadLine(GuardstreamError):  # noqa: N818
    """A line of the input cannot be read."""


def read_lines() -> Iterator[tuple[int, bytes]]:
    """The lines of stdin that are not blank, with their numbers."""
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if line.strip():
            yield number, line


def write_line(value: Any) -> None:
    """Write one JSON line to stdout."""
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()
