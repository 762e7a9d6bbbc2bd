"""`guardstream compare`: two guards on the same events, without labels."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from worker.cli import app
from worker.evaluation.verdict_labels import Matched

_HELP = "Verdicts: JSON Lines, or .parquet of `judge`."


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", exists=True, dir_okay=False, help=_HELP)],
    second: Annotated[Path, typer.Argument(metavar="B", exists=True, dir_okay=False, help=_HELP)],
    by: Annotated[
        Matched,
        typer.Option(
            help="What verdicts are matched by: `event` (its id and the number of the exchange) or"
            " `source` (topic or file, partition, offset).",
        ),
    ] = Matched.EVENT,
    examples: Annotated[
        int, typer.Option(min=0, help="Differences shown for each task; ids only.")
    ] = 10,
    fail_under: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Exit 1 if the agreement in a task is lower."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    resamples: Annotated[int, typer.Option(min=100, max=100_000, help="Of the bootstrap.")] = 1000,
) -> None:
    """Compare the verdicts of two guards on the same events, without labels.

    For each task: how often both give the same label, Cohen's kappa, how often each gives the
    positive label, and the events on which the scores differ most. No text is shown.
    """
    from worker.cli.labelling import require_extra
    from worker.domain.errors import UnusableFile
    from worker.evaluation.agreement import compare_verdicts
    from worker.evaluation.verdict_labels import read_labels

    require_extra("compare")
    found = compare_verdicts(
        read_labels(first, by),
        read_labels(second, by),
        examples=examples,
        resamples=resamples,
        seed=seed,
    )
    if not found.events:
        raise UnusableFile(
            f"{first} and {second} have no event in common; events are matched by {by}, see --by."
        )
    if json:
        import orjson

        sys.stdout.buffer.write(orjson.dumps(found, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()
    else:
        from worker.cli.views.agreement import show_agreement

        show_agreement(found, (first.name, second.name))
    if fail_under is not None and (found.least is None or found.least < fail_under):
        typer.echo(f"guardstream: An agreement is lower than {fail_under}.", err=True)
        raise typer.Exit(1)
