"""`guardstream evaluate`: how good a guard is, on events with labels."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import Config, app, read_settings, run_async
from worker.domain.escaping import printable

if TYPE_CHECKING:
    from worker.evaluation.answers import Answer
    from worker.evaluation.columns import Columns
    from worker.evaluation.labelled import Labelled
    from worker.runtime.build import Judging

_SHOWN_REASONS = 20
_EXTRA = ("jinja2", "numpy", "scipy")


@app.command()
def evaluate(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="JSON Lines, .csv, .tsv, .parquet.")
    ],
    config: Config = None,
    model: Annotated[
        str | None, typer.Option(help="Instead of engine.model; `demonstration` ships.")
    ] = None,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", help="Figures by a field, as metadata.language; repeatable."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Name a column, as prompt=question; repeatable."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the results here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with plots here.")] = None,
    save_completions: Annotated[
        Path | None,
        typer.Option(help="Append completions here; an interrupted run resumes from them."),
    ] = None,
    from_completions: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Score these completions, or verdicts as `tail --json` prints; no engine.",
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Results of another run (--json), its completions or its verdicts.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    resamples: Annotated[int, typer.Option(min=100, max=100_000, help="Of the bootstrap.")] = 1000,
) -> None:
    """Score a guard on labelled events, per task, with the engine and without Kafka.

    A line is an event with `labels`: {"prompt_harmfulness": "harmful" | "unharmful"
    | null, "response_refusal": "refusal" | "compliance" | null,
    "response_harmfulness": ...}. Tables have the columns prompt, response,
    prompt_harm_label, response_refusal_label and response_harm_label, or those that
    --column names; other columns become metadata.

    Rows that cannot be used or judged are listed, and the exit code is 1.
    """
    require_extra("evaluate")
    from worker import __version__
    from worker.cli.views.evaluation import show_evaluation
    from worker.decoding.decoder import EventDecoder
    from worker.domain.errors import UnusableFile
    from worker.domain.verdicts import rfc3339
    from worker.evaluation.analysis import compare as compare_runs
    from worker.evaluation.analysis import evaluate as score
    from worker.evaluation.analysis import read_other
    from worker.evaluation.columns import Columns
    from worker.evaluation.keeping import write_whole
    from worker.evaluation.labelled import read_labelled
    from worker.evaluation.report import render_report
    from worker.evaluation.results import Provenance, encode_evaluation
    from worker.evaluation.stored import read_stored
    from worker.runtime.build import build_guard, build_judging

    if from_completions and (model or save_completions):
        raise typer.BadParameter(
            "runs no engine: leave out --model and --save-completions",
            param_hint="--from-completions",
        )
    settings = read_settings(config, **({"engine": {"model": model}} if model else {}))
    guard = build_guard(settings)
    columns = Columns(_named(column or (), Columns({}, guard.questions)), guard.questions)
    labelled = read_labelled(file, columns)
    _report_left_out(labelled)
    if not labelled.events:
        raise UnusableFile(f"No row of {file} can be used.")
    _refuse_early(labelled, slices or (), [json, html, save_completions])
    other = read_other(compare, labelled, guard) if compare else None

    if from_completions:
        stored = read_stored(from_completions)
        answers = {event.id: stored.answer(event, guard) for event in labelled.events}
        by, engine = stored.guard, stored.engine
    else:
        # labelled rows are events, whatever the input topics hold
        judging = build_judging(settings, decoder=EventDecoder())
        answers = _ask(judging, labelled, save_completions)
        by, engine = judging.judge.reference, judging.judge.engine_reference
    evaluation = score(
        labelled,
        answers,
        provenance=Provenance(
            file=labelled.name,
            file_sha256=labelled.sha256,
            guard=by,
            engine=engine,
            answers=from_completions.name if from_completions else None,
            made_at=rfc3339(time.time()),
            guardstream=__version__,
        ),
        slices=slices or (),
        resamples=resamples,
        seed=seed,
    )
    if other is not None:
        evaluation = compare_runs(evaluation, other)
    # before anything is printed: a reader that closes the pipe ends the command
    if json is not None:
        write_whole(json, encode_evaluation(evaluation))
    if html is not None:
        write_whole(html, render_report(evaluation, labelled.events).encode())
    show_evaluation(evaluation)
    if evaluation.is_partial:
        _report_partial(evaluation.statuses["unjudged"], len(labelled.left_out))
        raise typer.Exit(1)


def require_extra(command: str) -> None:
    """Refuse to start without the packages of the extra `evaluate`.

    Raises:
        GuardstreamError: one is missing.
    """
    from importlib.util import find_spec

    from worker.domain.errors import GuardstreamError

    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        raise GuardstreamError(
            f"{command} needs {', '.join(missing)}: run pip install 'guardstream[evaluate]'."
        )


def _refuse_early(
    labelled: "Labelled", slices: Sequence[str], outputs: Sequence[Path | None]
) -> None:
    """Refuse options that would fail only at the end, after the long work."""
    from worker.evaluation.analysis import slice_values
    from worker.evaluation.keeping import require_writable

    for field in slices:
        slice_values(labelled.events, field)
    for path in outputs:
        if path is not None:
            require_writable(path)


def _named(given: Sequence[str], known: "Columns") -> dict[str, str]:
    """The columns that the user named, by what they hold."""
    named = {}
    for text in given:
        field, _, name = text.partition("=")
        if field not in known.fields or not name:
            raise typer.BadParameter(
                f"{text!r} is not FIELD=NAME with a field of {', '.join(known.fields)}",
                param_hint="--column",
            )
        named[field] = name
    return named


def _ask(judging: "Judging", labelled: "Labelled", save: Path | None) -> "dict[str, Answer]":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from worker.evaluation.asking import ask
    from worker.evaluation.keeping import completions_file

    terminal = Console(stderr=True)
    columns = (TextColumn("Judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    answers: dict[str, Answer] = {}

    async def work() -> None:
        opened = (
            completions_file(save, judging.judge.reference) if save is not None else nullcontext()
        )
        with opened as kept:
            shown = Progress(
                *columns, console=terminal, transient=True, disable=not terminal.is_terminal
            )
            try:
                await judging.start()
                with shown as progress:
                    task = progress.add_task("Judging", total=len(labelled.events))
                    answers.update(
                        await ask(
                            judging.judge,
                            labelled.events,
                            limit=judging.in_flight_limit,
                            now=time.time,
                            kept=kept,
                            progress=lambda done: progress.update(task, completed=done),
                        )
                    )
            finally:
                await judging.stop()

    try:
        run_async(work())
    except KeyboardInterrupt:
        if save is not None:
            typer.echo(f"guardstream: Interrupted; the same command resumes from {save}.", err=True)
        raise
    return answers


def _report_left_out(labelled: "Labelled") -> None:
    for row in labelled.left_out[:_SHOWN_REASONS]:
        typer.echo(f"guardstream: {labelled.name}, {row.place}: {printable(row.reason)}", err=True)
    more = len(labelled.left_out) - _SHOWN_REASONS
    if more > 0:
        typer.echo(f"guardstream: {more} more rows cannot be used; --json lists all.", err=True)


def _report_partial(unjudged: int, left_out: int) -> None:
    if unjudged:
        typer.echo(f"guardstream: Not judged, and counted as wrong: {unjudged}.", err=True)
    if left_out:
        typer.echo(f"guardstream: Left out, since they cannot be used: {left_out}.", err=True)
