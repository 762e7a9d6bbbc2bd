"""`python -m benchmarks`: measure the parts in turn, and write docs/benchmarks.md from the figures.

A part is a package of this one with three names: `TITLE`; `measure(quick)`, which returns figures
that JSON can hold; `section(figures, pictures)`, which draws its pictures into that folder and
returns its Markdown. Each part runs in its own process, so that what one leaves in memory does
not weigh on the next, and its figures are kept as soon as they are there: a run that is interrupted
loses nothing, and one part can be measured again.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.measuring import PARTS
from benchmarks.page import page, read_measured

_ROOT = Path(__file__).parent.parent


def main(
    parts: Annotated[list[str] | None, typer.Argument(help="What to measure; all if none.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One short round of each, to try; written to build/.")
    ] = False,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Only write the page, from the stored figures.")
    ] = False,
) -> None:
    """Measure speed as ratios of alternating rounds, and write the page."""
    for part in parts or ():
        if part not in PARTS:
            raise typer.BadParameter(f"no part is called {part}; there are {', '.join(PARTS)}")
    docs = _ROOT / ("build/docs" if quick else "docs")
    figures = docs / "benchmarks"
    figures.mkdir(parents=True, exist_ok=True)
    if not report_only:
        for part in parts or PARTS:
            _measure_apart(part, figures / f"{part}.json", quick=quick)
    found = read_measured(figures)
    (docs / "benchmarks.md").write_text(page(found, figures))
    typer.echo(f"{docs / 'benchmarks.md'} is written from {', '.join(found)}.")


def _measure_apart(part: str, path: Path, *, quick: bool) -> None:
    typer.echo(f"{part}: measuring …")
    started = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.measuring", part, str(path)]
    subprocess.run([*command, *(["--quick"] if quick else [])], check=True, cwd=_ROOT)  # noqa: S603
    typer.echo(f"{part}: {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    typer.run(main)
