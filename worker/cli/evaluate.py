"""`guardstream evaluate`: how good a guard is, on events with labels."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import Config, app, read_settings
from worker.cli.labelling import (
    ask_engine,
    read_labelled_events,
    refuse_engine_options,
    require_extra,
)

if TYPE_CHECKING:
    from worker.evaluation.labelled import Labelled


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

    A line is an event with `labels`, for each task one of its labels or null:
    {"response_refusal": "refusal" | "compliance" | null, ...}. Tables have the columns
    prompt, response, prompt_harm_label, response_refusal_label and response_harm_label,
    or those that --column names; other columns become metadata.

    Rows that cannot be used or judged are listed, and the exit code is 1.
    """
    require_extra("evaluate")
    from worker import __version__
    from worker.cli.views.evaluation import show_evaluation
    from worker.decoding.decoder import EventDecoder
    from worker.domain.verdicts import rfc3339
    from worker.evaluation.analysis import evaluate as score
    from worker.evaluation.keeping import write_whole
    from worker.evaluation.other_run import compare as compare_runs
    from worker.evaluation.other_run import read_other
    from worker.evaluation.report import render_report
    from worker.evaluation.results import Provenance, encode_evaluation
    from worker.evaluation.stored import read_stored
    from worker.runtime.build import build_judging
    from worker.runtime.guards import build_guard

    refuse_engine_options(from_completions, others=bool(model or save_completions))
    settings = read_settings(config, **({"engine": {"model": model}} if model else {}))
    guard = build_guard(settings).guard
    labelled = read_labelled_events(file, column or (), guard)
    _refuse_early(labelled, slices or (), [json, html, save_completions])
    other = read_other(compare, labelled, guard) if compare else None

    if from_completions:
        stored = read_stored(from_completions)
        answers = {event.id: stored.answer(event, guard) for event in labelled.events}
        by, engine = stored.guard, stored.engine
    else:
        # labelled rows are events, whatever the input topics hold
        judging = build_judging(
            settings, decoder=EventDecoder(context_turns=settings.guard.context_turns)
        )
        answers = ask_engine(judging, labelled, save_completions)
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


def _report_partial(unjudged: int, left_out: int) -> None:
    if unjudged:
        typer.echo(f"guardstream: Not judged, and counted as wrong: {unjudged}.", err=True)
    if left_out:
        typer.echo(f"guardstream: Left out, since they cannot be used: {left_out}.", err=True)
