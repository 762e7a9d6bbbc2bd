"""docs/benchmarks.md, put together from what was measured."""

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measuring import PARTS, Measured, part_named

_OPENING = """<!-- Written by `python -m benchmarks` from docs/benchmarks/*.json: change those. -->
# Benchmarks

What counts is verdicts per GPU-second: how close the worker comes to the engine alone. Then what
the bus costs in CPU and in latency, beside what people would write or install instead.

Machines drift, and shared ones drift more. Every figure to go by is a **ratio of things measured in
turn in one run**: rounds alternate, a ratio is taken round by round, and a cell shows the median
with the least and the most in brackets. Events per second are those of this machine on that day.

`make bench` measures all of it anew and writes this page; `.venv/bin/python -m benchmarks PART`
measures one part, with `--quick` one short round into `build/`.
"""
_TRIED = Path(__file__).parent / "tried.md"


def read_measured(folder: Path) -> dict[str, Measured]:
    """What is kept there of each part that was measured."""
    return {
        part: Measured(**json.loads(path.read_text()))
        for part in PARTS
        if (path := folder / f"{part}.json").exists()
    }


def page(found: Mapping[str, Measured], pictures: Path) -> str:
    """The opening, a section for each part, what was tried, and where it was measured."""
    sections = []
    for name, measured in found.items():
        part = part_named(name)
        sections.append(f"## {part.TITLE}\n\n{part.section(measured.figures, pictures).strip()}\n")
    return "\n".join([_OPENING, *sections, _TRIED.read_text(), _provenance(found)])


def _provenance(found: Mapping[str, Measured]) -> str:
    lines = ["## Where and when", ""]
    for part, measured in found.items():
        here = measured.machine
        lines.append(
            f"- `python -m benchmarks {part}{' --quick' if measured.quick else ''}`: "
            f"{measured.started_at}, {measured.seconds / 60:.0f} min; {here['processor']}, "
            f"{here['cores']} cores, {here['memory_gibibytes']} GiB, {here['system']}, Python "
            f"{here['python']}, load {here['load_at_start']} at its start; "
            + ", ".join(f"{name} {version}" for name, version in measured.versions.items())
            + "."
        )
    return "\n".join(lines) + "\n"
