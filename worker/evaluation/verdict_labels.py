"""The labels of verdicts in a file, read one after another: JSON Lines, or Parquet of `judge`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from worker.adapters.parquet import open_parquet
from worker.domain.errors import UnusableFile
from worker.domain.questions import STANDARD_TASKS

_COLUMNS = ("event_id", "source", "status", "guard", "criteria", *STANDARD_TASKS)
_BATCH_ROWS = 2_000


class Matched(StrEnum):
    """What verdicts of two files are matched by, with the number of the exchange."""

    EVENT = "event"
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Label:
    """The answer to a question."""

    label: str | None
    score: float | None


@dataclass(frozen=True, slots=True)
class VerdictLabels:
    """What a verdict answers, and what it is matched by.

    Attributes:
        guard: name and model, for people.
    """

    key: str
    event_id: str
    guard: str
    is_inconclusive: bool
    labels: Mapping[str, Label]


def read_labels(path: Path, matched: Matched) -> Iterator[VerdictLabels]:
    """The labels of each verdict in a file.

    Raises:
        UnusableFile: it cannot be read, or holds something else.
    """
    rows = _parquet(path) if path.suffix.lower() == ".parquet" else _lines(path)
    for place, row in rows:
        try:
            yield _labels(row, matched)
        except (KeyError, TypeError, AttributeError, ValueError):
            raise UnusableFile(f"{path}, {place}: not a verdict.") from None


def _labels(row: Mapping[str, Any], matched: Matched) -> VerdictLabels:
    source, guard = row["source"], row["guard"]
    exchange = source.get("exchange")
    event_id = str(row["event_id"])
    key = event_id
    if matched is Matched.SOURCE:
        key = f"{source['topic']}/{source['partition']}@{source['offset']}"
    if exchange is not None:
        key = f"{key}\x00{exchange}"
    answers = {name: row[name] for name in STANDARD_TASKS} | dict(row.get("criteria") or {})
    return VerdictLabels(
        key=key,
        event_id=event_id,
        guard=f"{guard['name']} {guard['model']}",
        is_inconclusive=row["status"] != "complete",
        labels={
            name: Label(answer["label"], answer.get("score")) for name, answer in answers.items()
        },
    )


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    found = orjson.loads(line)
                except orjson.JSONDecodeError:
                    if not line.strip() or not line.endswith(b"\n"):
                        continue  # an incomplete last line
                    raise UnusableFile(f"{path}, line {number}: not a verdict.") from None
                yield f"line {number}", found
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}.") from None


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    with open_parquet(path) as file:
        if lacking := set(_COLUMNS) - set(file.schema_arrow.names):
            raise UnusableFile(f"{path} holds no verdicts: no column {min(lacking)}.")
        number = 0
        for batch in file.iter_batches(_BATCH_ROWS, columns=list(_COLUMNS)):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row
