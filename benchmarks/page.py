"""docs/benchmarks.md, assembled from the measurements."""

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measuring import PARTS, SECTIONS, Measured, part_named

_OPENING = """<!-- Written by `python -m benchmarks` from docs/benchmarks/*.json: change those. -->
# Benchmarks

The primary metric is verdicts per GPU-second: how close the worker comes to the engine alone. The
page also shows what the bus costs in CPU and latency, compared with the alternatives.

Performance varies between machines, and over time on shared ones. Compare only **ratios of
alternating measurements in one run**: rounds alternate, the ratio is taken per round, and a cell
shows the median with minimum and maximum in brackets. Absolute rates are those of this machine on
that day.

`make bench` repeats all measurements and writes this page. `.venv/bin/python -m benchmarks PART`
measures one part; with `--quick` it writes one short round to `build/`.
"""
_TRIED = Path(__file__).parent / "tried.md"


def read_measured(folder: Path) -> dict[str, Measured]:
    """The stored measurements, by part."""
    return {
        part: Measured(**json.loads(path.read_text()))
        for part in SECTIONS
        if (path := folder / f"{part}.json").exists()
    }


def page(found: Mapping[str, Measured], pictures: Path) -> str:
    """The introduction, a section per part, the optimisations, and the test environment."""
    sections = []
    for name, measured in found.items():
        part = part_named(name)
        sections.append(f"## {part.TITLE}\n\n{part.section(measured.figures, pictures).strip()}\n")
    return "\n".join([_OPENING, *sections, _TRIED.read_text(), _provenance(found)])


def _provenance(found: Mapping[str, Measured]) -> str:
    lines = ["## Test environment", ""]
    for part, measured in found.items():
        here = measured.machine
        lines.append(
            f"- `{_command(part)}{' --quick' if measured.quick else ''}`: "
            f"{measured.started_at}, {measured.seconds / 60:.0f} min; {here['processor']}, "
            f"{here['cores']} cores, {here['memory_gibibytes']} GiB, {here['system']}, Python "
            f"{here['python']}, load {here['load_at_start']} at the start; "
            + ", ".join(f"{name} {version}" for name, version in measured.versions.items())
            + "."
        )
    return "\n".join(lines) + "\n"


def _command(part: str) -> str:
    return f"python -m benchmarks {part}" if part in PARTS else f"python -m benchmarks.{part}"
