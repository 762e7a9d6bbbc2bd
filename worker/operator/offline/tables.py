"""Verdicts as a Parquet table: the columns have the names and the nesting of their JSON."""

import os
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import orjson

from worker.adapters.parquet import import_parquet
from worker.domain.verdicts import Verdict

_ROWS_AT_ONCE = 2_000


def write_table(lines: Path, path: Path) -> None:
    """Write the verdicts of a file of JSON Lines as Parquet, in one piece.

    Raises:
        UnusableFile: pyarrow is not installed.
        OSError: it cannot be written.
    """
    parquet = import_parquet()
    import pyarrow as pa  # noqa: PLC0415 - an extra

    schema = verdict_schema()
    next_to = path.with_name(f"{path.name}.new")
    with (
        next_to.open("wb") as file,
        parquet.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for rows in _batches(lines):
            writer.write_table(pa.Table.from_pylist(rows, schema))
    with next_to.open("rb") as written:
        os.fsync(written.fileno())
    next_to.replace(path)


def _batches(lines: Path) -> Iterator[list[dict[str, Any]]]:
    with lines.open("rb") as file:
        while rows := [orjson.loads(line) for line in islice(file, _ROWS_AT_ONCE)]:
            for row in rows:
                # a map is a list of its entries
                row["criteria"] = list(row["criteria"].items())
            yield rows


def verdict_schema() -> Any:
    """The Arrow schema of verdicts."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    return pa.schema(_columns(Verdict))


def _columns(of: type) -> list[tuple[str, Any]]:
    hints = get_type_hints(of)
    return [(field.name, _arrow_type(hints[field.name])) for field in fields(of)]


def _arrow_type(hint: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    plain = {
        str: pa.string(),
        bool: pa.bool_(),
        int: pa.int64(),
        float: pa.float64(),
    }
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        (some,) = (one for one in inner if one is not type(None))
        return _arrow_type(some)
    if origin is Literal:
        return pa.string()
    if origin is tuple:
        return pa.list_(_arrow_type(inner[0]))
    if origin in {Mapping, typing.Mapping}:
        return pa.map_(_arrow_type(inner[0]), _arrow_type(inner[1]))
    if is_dataclass(hint):
        return pa.struct(_columns(typing.cast("type", hint)))
    return plain[hint]
