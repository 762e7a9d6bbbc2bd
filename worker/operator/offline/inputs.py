"""Files of records: JSON Lines and Parquet, read a piece at a time."""

import base64
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import orjson

from worker.adapters.parquet import open_parquet
from worker.domain.errors import UnusableFile
from worker.domain.records import Record, record_of_line
from worker.flow.judging_all import CHUNK_RECORDS

PARQUET = ".parquet"
_READ_BYTES = 1 << 20
_HASHED_BYTES = 1 << 20
_RAW = "value"
# the decoder refuses it, and gives the reason
_NOT_UTF8 = b"\xff"


class Place(NamedTuple):
    """Where reading of a file continues.

    Attributes:
        row: the number of the next row or line, from 0.
        position: how much of the file is behind it: bytes of lines, rows of Parquet.
    """

    row: int
    position: int


START = Place(0, 0)


class Chunk(NamedTuple):
    """Some records, and for each the place after it."""

    records: list[Record]
    places: list[Place]


class Source(Protocol):
    """Where records are read.

    Attributes:
        name: the topic of its records.
        total: the position at its end; None if unknown.
        unit: what a position counts.
    """

    name: str
    total: int | None
    unit: str

    def chunks(self, start: Place) -> Iterator[Chunk]:
        """The records from a place on.

        Raises:
            UnusableFile: it cannot be read.
        """
        ...


class Lines:
    """JSON Lines of a file, or of a pipe, whose lines come as soon as they are written."""

    unit = "B"

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self.name = name
        known = stream.seekable() and os.fstat(stream.fileno()).st_size
        self.total: int | None = known or None

    def chunks(self, start: Place) -> Iterator[Chunk]:
        """The lines from a place on; blank ones are counted, and left out."""
        row, position = start
        if position:
            self._stream.seek(position)
        for lines in _complete_lines(self._stream):
            found = Chunk([], [])
            now = time.time()
            for line in lines:
                row, position = row + 1, position + len(line)
                if line.strip():
                    found.records.append(record_of_line(self.name, row - 1, line, now))
                    found.places.append(Place(row, position))
                if len(found.records) == CHUNK_RECORDS:
                    yield found
                    found = Chunk([], [])
            if found.records:
                yield found


def _complete_lines(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Lines as they arrive; the last one needs no newline."""
    begun: list[bytes] = []
    # `read1` returns what is there, `read` would wait for more
    while piece := stream.read1(_READ_BYTES):  # type: ignore[attr-defined]
        *whole, last = piece.split(b"\n")
        lines = [*(line + b"\n" for line in whole), *([last] if last else [])]
        if begun:
            begun.append(lines.pop(0))
            if not begun[-1].endswith(b"\n"):
                continue
            lines.insert(0, b"".join(begun))
            begun = []
        if not lines[-1].endswith(b"\n"):
            begun = [lines.pop()]
        yield lines
    if begun:
        yield [b"".join(begun)]


class Rows:
    """The rows of a Parquet file; each becomes the JSON object of its columns.

    Args:
        raw: the column that holds records as they are, bytes or text; by default `value` if the
            file has no other column.
    """

    unit = "rows"

    def __init__(self, path: Path, raw: str | None = None) -> None:
        self._path = path
        self.name = printable_name(path)
        with open_parquet(path) as file:
            names = file.schema_arrow.names
            self.total: int | None = file.metadata.num_rows
        if raw is not None and raw not in names:
            raise UnusableFile(f"{path} has no column {raw}, but {', '.join(names)}.")
        self.raw = _RAW if raw is None and names == [_RAW] else raw

    def chunks(self, start: Place) -> Iterator[Chunk]:
        """The rows from a place on."""
        with open_parquet(self._path) as file:
            row, groups = _skipped(file, start.row)
            columns = None if self.raw is None else [self.raw]
            batches = file.iter_batches(CHUNK_RECORDS, row_groups=groups, columns=columns)
            for batch in batches:
                end = row + batch.num_rows
                if end > start.row:
                    first = max(row, start.row)
                    yield self._chunk(_rows(batch.slice(first - row)), first)
                row = end

    def _chunk(self, rows: Sequence[dict[str, Any] | None], first: int) -> Chunk:
        now = time.time()
        values = [_NOT_UTF8 if row is None else _value(row, self.raw) for row in rows]
        records = [record_of_line(self.name, n, v, now) for n, v in enumerate(values, first)]
        return Chunk(records, [Place(n, n) for n in range(first + 1, first + 1 + len(rows))])


def _skipped(file: Any, row: int) -> tuple[int, list[int]]:
    """The row at which reading begins, and the row groups that are read."""
    first = 0
    for group in range(file.metadata.num_row_groups):
        after = first + file.metadata.row_group(group).num_rows
        if after > row:
            return first, list(range(group, file.metadata.num_row_groups))
        first = after
    return first, []


def _rows(batch: Any) -> list[dict[str, Any] | None]:
    """The rows of a batch; None in place of one with text that is not UTF-8."""
    try:
        found: list[dict[str, Any] | None] = batch.to_pylist()
    except UnicodeDecodeError:
        if batch.num_rows == 1:
            return [None]
        return [row for n in range(batch.num_rows) for row in _rows(batch.slice(n, 1))]
    return found


def _value(row: dict[str, Any], raw: str | None) -> bytes:
    if raw is None:
        try:
            return orjson.dumps(row, default=_jsonable)
        except orjson.JSONEncodeError:
            return b""  # nested too deeply, or an integer of more than 64 bits
    held = row[raw]
    if isinstance(held, bytes):
        return held
    return b"" if held is None else str(held).encode()


def _jsonable(cell: Any) -> Any:
    """A cell of a type that JSON lacks: text where bytes are text, or else base64."""
    if not isinstance(cell, bytes):
        return str(cell)
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return base64.b64encode(cell).decode()


@contextmanager
def opened(path: Path, raw: str | None = None) -> Iterator[Source]:
    """A file's records, by its suffix.

    Raises:
        UnusableFile: it cannot be read.
    """
    try:
        file = path.open("rb", buffering=_READ_BYTES)
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}.") from None
    with file:
        is_table = path.suffix.lower() == PARQUET
        yield Rows(path, raw) if is_table else Lines(file, printable_name(path))


def printable_name(path: Path) -> str:
    """A file's name; a byte that is not UTF-8 becomes U+FFFD."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def fingerprint(path: Path) -> str:
    """A checksum of a file's size, beginning and end, which is fast for a large file."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        found = hashlib.sha256(str(size).encode())
        for start in (0, max(0, size - _HASHED_BYTES)):
            file.seek(start)
            found.update(file.read(_HASHED_BYTES))
    return found.hexdigest()
