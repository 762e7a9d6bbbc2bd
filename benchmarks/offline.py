"""`judge` over a large file, killed in the middle and resumed: `python -m benchmarks.offline`.

Makes a Parquet file of short exchanges, one in a thousand of them blank, judges it with the
simulated engine, ends the program with SIGKILL at a third and at two thirds, and starts it again.
Then each row must be in the result once: as a verdict, or as a refusal. Prints how fast that was,
and how much memory it took.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import orjson
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import typer

_BLANK_EACH = 1000
_WRITTEN_AT_ONCE = 10_000
_POLL_SECONDS = 0.1
_ENVIRONMENT = {
    "GUARDSTREAM_ENGINE__KIND": "simulated",
    "GUARDSTREAM_ENGINE__MODEL": "demonstration",
    "GUARDSTREAM_ENGINE__SIMULATED__TIME_TO_FIRST_TOKEN_SECONDS": "0",
    "GUARDSTREAM_ENGINE__SIMULATED__TIME_PER_OUTPUT_TOKEN_SECONDS": "0",
}


class NotOnce(Exception):  # noqa: N818
    """A row is missing, or is there twice."""


@dataclass(slots=True)
class Figures:
    """What a trial found.

    Attributes:
        killed_at: the rows that were stored as done when the program was killed.
        resident_mib: of the program, by the share of the rows that were done.
        peak_mib: the most of all, with what the table at the end takes.
    """

    rows: int
    input_mib: float
    output_mib: float = 0.0
    killed_at: list[int] = field(default_factory=list)
    judged: int = 0
    refused: int = 0
    seconds: float = 0.0
    rows_per_second: float = 0.0
    resident_mib: dict[str, float] = field(default_factory=dict)
    peak_mib: float = 0.0


def make_input(path: Path, rows: int) -> None:
    """Write exchanges as Parquet."""
    schema = pa.schema([("id", pa.string()), ("prompt", pa.string()), ("response", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, _WRITTEN_AT_ONCE):
            numbers = range(start, min(start + _WRITTEN_AT_ONCE, rows))
            table = {
                "id": [f"m-{n}" for n in numbers],
                "prompt": [
                    "" if is_blank(n) else f"How do I bake loaf {n} without a mould?"
                    for n in numbers
                ],
                "response": [f"Shape {n} grams of dough, and prove it in a bowl." for n in numbers],
            }
            writer.write_table(pa.table(table, schema))


def is_blank(row: int) -> bool:
    """Whether the request of a row is blank, which cannot be judged."""
    return row % _BLANK_EACH == 7


def trial(
    folder: Path, rows: int, kills: int = 2, suffix: str = "parquet", **variables: str
) -> Figures:
    """Make, judge, kill, resume and check; `variables` are further settings.

    Raises:
        NotOnce: a row is missing, or is there twice.
    """
    given, output = folder / "in.parquet", folder / f"verdicts.{suffix}"
    make_input(given, rows)
    figures = Figures(rows, given.stat().st_size / 2**20)
    environment = os.environ | _ENVIRONMENT | variables
    began = time.monotonic()
    for kill in range(1, kills + 1):
        _judge(given, output, figures, environment, until=rows * kill // (kills + 1))
        figures.killed_at.append(_done(output))
    _judge(given, output, figures, environment, until=None)
    figures.seconds = time.monotonic() - began
    figures.rows_per_second = rows / figures.seconds
    figures.output_mib = output.stat().st_size / 2**20
    check(output, rows, figures)
    return figures


def _judge(
    given: Path, output: Path, figures: Figures, environment: Mapping[str, str], until: int | None
) -> None:
    """Run the program to its end, or kill it when this many rows are done."""
    command = [sys.executable, "-m", "worker", "judge", str(given), "--output", str(output)]
    log = output.with_suffix(".log")
    with (
        log.open("ab") as stderr,
        subprocess.Popen(  # noqa: S603 - our own program
            command, stderr=stderr, env=environment
        ) as process,
    ):
        seen = psutil.Process(process.pid)
        while process.poll() is None:
            _measure(seen, _done(output), figures)
            if until is not None and _done(output) >= until:
                process.kill()
                break
            time.sleep(_POLL_SECONDS)
    # 1: some rows are refused
    if until is None and process.returncode != 1:
        raise NotOnce(f"judge ended with {process.returncode}:\n{log.read_text()[-2000:]}")


def _measure(seen: psutil.Process, done: int, figures: Figures) -> None:
    try:
        resident = seen.memory_info().rss / 2**20
    except psutil.Error:
        return
    figures.peak_mib = max(figures.peak_mib, resident)
    if done:
        share = f"{done * 10 // figures.rows * 10} %"
        figures.resident_mib.setdefault(share, round(resident, 1))


def _done(output: Path) -> int:
    """The rows that are stored as done."""
    try:
        progress = json.loads(output.with_name(f"{output.name}.progress.json").read_text())
    except FileNotFoundError:
        return 0
    return int(progress["place"][0])


def check(output: Path, rows: int, figures: Figures) -> None:
    """Require each row once and in its place.

    Raises:
        NotOnce: a row is missing, or is there twice.
    """
    expected = (row for row in range(rows) if not is_blank(row))
    for event_id, row in _verdicts(output):
        figures.judged += 1
        if row != next(expected, None) or event_id != f"m-{row}":
            raise NotOnce(f"Row {row} of the verdicts is not expected here.")
    blank = iter(row for row in range(rows) if is_blank(row))
    refusals = output.with_name(f"{output.name}.refused.jsonl")
    with refusals.open("rb") as lines:
        for line in lines:
            figures.refused += 1
            if orjson.loads(line)["source"]["offset"] != next(blank, None):
                raise NotOnce(f"This refusal is not expected here: {line.decode()}")
    if figures.judged + figures.refused != rows:
        raise NotOnce(f"{figures.judged} verdicts and {figures.refused} refusals of {rows} rows.")


def _verdicts(output: Path) -> Iterator[tuple[str, int]]:
    if output.suffix == ".parquet":
        with pq.ParquetFile(output) as file:
            for batch in file.iter_batches(columns=["event_id", "source"]):
                for one in batch.to_pylist():
                    yield one["event_id"], one["source"]["offset"]
        return
    with output.open("rb") as lines:
        for line in lines:
            found: dict[str, Any] = orjson.loads(line)
            yield found["event_id"], found["source"]["offset"]


def main(
    rows: Annotated[int, typer.Option(min=1000)] = 1_000_000,
    kills: int = 2,
    suffix: Annotated[str, typer.Option(help="parquet or jsonl.")] = "parquet",
) -> None:
    """Print the figures as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asdict(trial(Path(folder), rows, kills, suffix)), indent=2))


if __name__ == "__main__":
    typer.run(main)
