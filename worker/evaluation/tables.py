"""Tables of exchanges and labels: CSV, TSV and Parquet."""

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from worker.adapters.parquet import open_parquet
from worker.domain.errors import UnusableFile
from worker.evaluation.columns import Columns, LeftOut, Row, row_event

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*_SEPARATORS, ".parquet")
# of one cell: Python's own limit is smaller than some prompts
_MAX_CELL_CHARACTERS = 1 << 28
_BATCH_ROWS = 1000


def read_table(path: Path, columns: Columns) -> Iterator[Row | LeftOut]:
    """The labelled event of each row.

    Raises:
        UnusableFile: it lacks columns, or has another format than its suffix.
    """
    separator = _SEPARATORS.get(path.suffix.lower())
    rows = _parquet(path, columns) if separator is None else _separated(path, separator, columns)
    for place, row in rows:
        yield row if isinstance(row, LeftOut) else row_event(place, row, columns)


def _require(path: Path, names: list[str], columns: Columns) -> None:
    if lacking := columns.missing(names):
        raise UnusableFile(
            f"{path} has no column {', '.join(lacking)}, but {', '.join(names) or 'none'};"
            " name them with --column."
        )


def _separated(
    path: Path, separator: str, columns: Columns
) -> Iterator[tuple[str, Mapping[str, Any] | LeftOut]]:
    csv.field_size_limit(_MAX_CELL_CHARACTERS)
    # bytes that are not UTF-8 are reported with their row
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=separator, strict=True)
        try:
            names = next(reader, [])
            _require(path, names, columns)
            before = reader.line_num
            for cells in reader:
                place, before = f"line {before + 1}", reader.line_num
                if len(cells) == len(names):
                    # null is an empty cell in this format
                    row = {name: cell or None for name, cell in zip(names, cells, strict=True)}
                    yield place, row
                elif cells:
                    reason = f"The row has {len(cells)} cells for {len(names)} columns."
                    yield place, LeftOut(place, reason)
        except csv.Error as error:
            raise UnusableFile(f"{path}, line {reader.line_num}: {error}.") from None


def _parquet(path: Path, columns: Columns) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with open_parquet(path) as file:
        _require(path, file.schema_arrow.names, columns)
        number = 0
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", {name: _cell(cell) for name, cell in row.items()}


def _cell(value: Any) -> Any:
    # what pandas writes for an empty cell among numbers
    return None if isinstance(value, float) and math.isnan(value) else value
