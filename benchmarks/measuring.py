"""The measurement of one part: figures with environment, time and duration, written atomically."""

import importlib
import json
import logging
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Protocol, cast

import typer

from benchmarks.figures import machine, versions
from worker.evaluation.keeping import write_whole

PARTS = ("efficiency", "bus", "rivals", "growth", "micro")
# In the page's order; `gpu` is measured on another machine: see benchmarks/gpu/README.md
SECTIONS = ("efficiency", "gpu", *PARTS[1:])


class Section(Protocol):
    """What a package of benchmarks offers to be on the page."""

    TITLE: str

    def section(self, figures: dict[str, Any], pictures: Path) -> str:
        """The Markdown below the title; pictures are drawn into the folder `benchmarks` of docs."""


class Part(Section, Protocol):
    """What it offers to be measured by `python -m benchmarks`."""

    def measure(self, *, quick: bool) -> dict[str, Any]:
        """Run it, and return JSON-serialisable figures; `quick` is one short round."""


@dataclass(frozen=True)
class Measured:
    """The stored measurement of one part."""

    part: str
    figures: dict[str, Any]
    quick: bool
    started_at: str
    seconds: float
    machine: dict[str, Any]
    versions: dict[str, str]


def part_named(name: str) -> Part:
    """The package, imported lazily: each has its own dependencies."""
    return cast("Part", importlib.import_module(f"benchmarks.{name}"))


def main(
    part: str,
    path: Path,
    quick: Annotated[bool, typer.Option("--quick")] = False,
) -> None:
    """Measure one part into a file."""
    logging.disable(logging.WARNING)
    here, began, started = machine(), datetime.now(UTC), time.monotonic()
    figures = part_named(part).measure(quick=quick)
    measured = Measured(
        part=part,
        figures=figures,
        quick=quick,
        started_at=began.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - started, 1),
        machine=here,
        versions=versions(),
    )
    write_whole(path, (json.dumps(asdict(measured), indent=1) + "\n").encode())


if __name__ == "__main__":
    typer.run(main)
