"""What the commands on labelled events share: their options, and the engine with its progress."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from worker.cli import run_async
from worker.domain.escaping import printable

if TYPE_CHECKING:
    from worker.domain.guard import Guard
    from worker.evaluation.answers import Answer
    from worker.evaluation.columns import Columns
    from worker.evaluation.labelled import Labelled
    from worker.runtime.build import Judging

_SHOWN_REASONS = 20
_EXTRA = ("jinja2", "numpy", "scipy", "sklearn")


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


def read_labelled_events(file: Path, column: Sequence[str], guard: "Guard") -> "Labelled":
    """The labelled events of a file; rows that cannot be used are reported on stderr.

    Raises:
        UnusableFile: it has none.
    """
    from worker.domain.errors import UnusableFile
    from worker.evaluation.columns import Columns
    from worker.evaluation.labelled import read_labelled

    named = _named(column, Columns({}, guard.questions))
    labelled = read_labelled(file, Columns(named, guard.questions))
    _report_left_out(labelled)
    if not labelled.events:
        raise UnusableFile(f"No row of {file} can be used.")
    return labelled


def refuse_engine_options(from_completions: Path | None, *, others: bool) -> None:
    """Refuse options of the engine where stored completions are used."""
    if from_completions and others:
        raise typer.BadParameter(
            "runs no engine: leave out --model and --save-completions",
            param_hint="--from-completions",
        )


def ask_engine(judging: "Judging", labelled: "Labelled", save: Path | None) -> "dict[str, Answer]":
    """The engine's answers, with a progress bar; completions are stored as they arrive."""
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


def _report_left_out(labelled: "Labelled") -> None:
    for row in labelled.left_out[:_SHOWN_REASONS]:
        typer.echo(f"guardstream: {labelled.name}, {row.place}: {printable(row.reason)}", err=True)
    more = len(labelled.left_out) - _SHOWN_REASONS
    if more > 0:
        typer.echo(f"guardstream: {more} more rows cannot be used.", err=True)
