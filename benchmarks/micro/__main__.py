"""`python -m benchmarks.micro check`: whether a step takes many more instructions than it did.

Exit 0 if none does, or with a message if they cannot be compared here; 1 if one does.
"""

from typing import Annotated

import typer

from benchmarks.micro.baseline import MAX_GROWTH, PATH, Baseline
from benchmarks.micro.counting import NoCountsError, count_instructions, is_available

app = typer.Typer(add_completion=False)


@app.callback()
def _group() -> None:
    """Instructions of each step of a record's way."""


@app.command()
def check(
    accept: Annotated[
        bool, typer.Option("--accept", help="Take what is counted now as the new baseline.")
    ] = False,
) -> None:
    """Count instructions, and compare them with the committed baseline."""
    if not is_available():
        typer.echo("Instructions are not checked: valgrind is not installed.")
        raise typer.Exit(1 if accept else 0)
    typer.echo("Counting instructions under valgrind (about a minute) …")
    try:
        here = Baseline.of_here(count_instructions())
    except NoCountsError as error:
        typer.echo(str(error))
        raise typer.Exit(1) from None
    if accept:
        here.save()
        typer.echo(f"{PATH.name} holds what was counted now; commit it with the reason.")
        return
    baseline = Baseline.load()
    if (stranger := baseline.stranger(here)) is not None:
        typer.echo(f"Instructions are not compared: {stranger}")
        return
    if not _compare(baseline, here):
        raise typer.Exit(1)


def _compare(baseline: Baseline, here: Baseline) -> bool:
    growth = baseline.growth(here)
    typer.echo(f"{'instructions an event':<24}{'baseline':>14}{'now':>14}{'growth':>10}")
    for name, by in growth.items():
        was, now = baseline.instructions[name], here.instructions[name]
        typer.echo(f"{name:<24}{was:>14,}{now:>14,}{by:>10.1%}")
    grown = [name for name, by in growth.items() if by > MAX_GROWTH]
    unknown = baseline.unknown(here)
    if grown:
        typer.echo(
            f"More than {MAX_GROWTH:.0%} above the baseline: {', '.join(grown)}. Look at what the"
            " last change does for every event; if it is worth it, take the new counts with"
            " `python -m benchmarks.micro check --accept` and say why in the commit."
        )
    if unknown:
        typer.echo(
            f"The baseline and the operations differ in {', '.join(unknown)}; take new counts with"
            " `python -m benchmarks.micro check --accept`."
        )
    return not grown and not unknown


if __name__ == "__main__":
    app()
