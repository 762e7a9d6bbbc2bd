"""Rehearses a rolling update, counts what became of every record, and draws the lag."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.rolling.curves import figures
from benchmarks.rolling.picture import draw
from benchmarks.rolling.rehearsal import Script, rehearse


def main(
    rate: Annotated[float, typer.Option(help="Records a second.")] = Script.rate,
    steady: Annotated[
        float, typer.Option(help="Seconds of load before, between and after.")
    ] = Script.steady_seconds,
    load: Annotated[
        float, typer.Option(help="Seconds that a new version takes to load its model.")
    ] = Script.load_seconds,
    picture: Annotated[Path | None, typer.Option(help="A PNG.")] = None,
    output: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Replace two workers one by one under load; exit 1 if a promise is broken."""
    folder = Path(tempfile.mkdtemp(prefix="guardstream-rolling-"))
    script = Script(rate=rate, steady_seconds=steady, load_seconds=load)
    story = asyncio.run(rehearse(script, folder, lambda text: typer.echo(text, err=True)))
    found = figures(story)
    text = json.dumps(found, indent=2)
    typer.echo(text)
    if output:
        output.write_text(text + "\n")
    if picture:
        draw(story, picture)
    if found["broken"]:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
