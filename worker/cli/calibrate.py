"""`guardstream calibrate`: what a guard's scores are worth, on events with labels."""

import sys
import time
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
    from worker.evaluation.scored import NotScored
    from worker.runtime.settings import Settings

# every event is scored first and then reasoned about, whatever a calibration would say
_BOTH_STAGES = {"reasoning": "unsure", "audit_share": 1.0, "gate_prompt_only": False}
_REASONED_STAGE = {"reasoning": "always", "scores": True, "gate_prompt_only": False}
_GATED = {"reasoning": "always", "scores": False, "gate_prompt_only": True}
_SHOWN_REASONS = 5


@app.command()
def calibrate(
    labelled: Annotated[
        Path,
        typer.Argument(
            metavar="LABELLED",
            exists=True,
            dir_okay=False,
            help="JSON Lines, .csv, .tsv, .parquet, as `evaluate` reads them.",
        ),
    ],
    config: Config = None,
    model: Annotated[
        str | None, typer.Option(help="Instead of engine.model; `demonstration` ships.")
    ] = None,
    output: Annotated[Path, typer.Option(dir_okay=False, help="Write the calibration here.")] = (
        Path("calibration.json")
    ),
    budget: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.2,
            help="Largest share of events that may lose a right label because they are not"
            " reasoned about, and largest loss of F1.",
        ),
    ] = 0.005,
    fpr: Annotated[
        float, typer.Option(min=0.0001, max=0.5, help="False-positive rate of the threshold.")
    ] = 0.01,
    folds: Annotated[int, typer.Option(min=2, max=20, help="Of the cross-validation.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the folds and the bootstrap.")] = 0,
    resamples: Annotated[int, typer.Option(min=100, max=100_000, help="Of the bootstrap.")] = 1000,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Name a column, as prompt=question; repeatable."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the calibration as JSON.")] = False,
    html: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write a report with plots here.")
    ] = None,
    save_completions: Annotated[
        Path | None,
        typer.Option(help="Append completions here; an interrupted run resumes from them."),
    ] = None,
    from_completions: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Use these completions of this command; no engine."
        ),
    ] = None,
) -> None:
    """Calibrate a guard's scores on labelled events, and show which modes it is good enough for.

    Every event is scored before any reasoning, reasoned about, and scored again. The calibration
    file holds, for each question, a curve for both scores, a threshold and the band of scores that
    need reasoning; and whether judging.reasoning can be unsure, flagged or never with this guard.
    All figures are cross-validated.

    It takes 200 labels or more of each question. Exit code 0 if the file was written, also where it
    releases no mode.
    """
    require_extra("calibrate")
    from worker import __version__
    from worker.cli.views.calibration import show_calibration
    from worker.decoding.decoder import EventDecoder
    from worker.domain.verdicts import rfc3339
    from worker.evaluation.calibration import Origin, require_labels
    from worker.evaluation.calibration import calibrate as make
    from worker.evaluation.calibration_report import render_calibration
    from worker.evaluation.keeping import require_writable, write_whole
    from worker.evaluation.modes import Bootstrap
    from worker.evaluation.question_columns import Aims
    from worker.evaluation.scored import Stages
    from worker.evaluation.stored import read_stored
    from worker.runtime.build import build_judging
    from worker.runtime.calibration_file import encode_calibration
    from worker.runtime.guards import build_guard

    refuse_engine_options(from_completions, others=bool(model or save_completions))
    given = read_settings(config, **({"engine": {"model": model}} if model else {}))
    settings = _judging(given, **_BOTH_STAGES)
    ways = (settings, _judging(given, **_REASONED_STAGE), _judging(given, **_GATED))
    guards = Stages(*(build_guard(way, calibrated=False).guard for way in ways))
    events = read_labelled_events(labelled, column or (), guards.both)
    require_labels(events)
    for path in (output, html, save_completions):
        if path is not None:
            require_writable(path)
    if from_completions:
        stored = read_stored(from_completions)
        answers = {event.id: stored.answer(event, guards.both) for event in events.events}
        guard, engine = stored.guard, stored.engine
        if guard is None or engine is None:
            raise typer.BadParameter(
                "does not say which guard and engine wrote it: use a file of --save-completions",
                param_hint="--from-completions",
            )
    else:
        judging = build_judging(settings, decoder=EventDecoder(), calibrated=False)
        answers = ask_engine(judging, events, save_completions)
        guard, engine = judging.judge.reference, judging.judge.engine_reference
    document, not_scored = make(
        guards,
        events,
        answers,
        origin=Origin(guard, engine, rfc3339(time.time()), __version__),
        aims=Aims(
            budget=budget,
            false_positive_rate=fpr,
            least_mass=given.judging.least_mass,
            folds=folds,
            seed=seed,
        ),
        bootstrap=Bootstrap(resamples, seed),
    )
    content = encode_calibration(document)
    write_whole(output, content)
    if html is not None:
        write_whole(html, render_calibration(document).encode())
    _report_not_scored(not_scored)
    if json:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        show_calibration(document)
        typer.echo(f"guardstream: Wrote {output}.", err=True)


def _judging(settings: "Settings", **changed: object) -> "Settings":
    """The settings with other ones of `judging`, for which no calibration is needed."""
    judging = settings.judging.model_copy(update=changed)
    return settings.model_copy(update={"judging": judging})


def _report_not_scored(not_scored: "list[NotScored]") -> None:
    from worker.domain.escaping import printable

    for one in not_scored[:_SHOWN_REASONS]:
        typer.echo(f"guardstream: {printable(one.id)}: {printable(one.reason)}", err=True)
    if (more := len(not_scored) - _SHOWN_REASONS) > 0:
        typer.echo(f"guardstream: {more} more events are not used.", err=True)
