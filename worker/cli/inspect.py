"""`guardstream inspect`: the history of a record."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import Config, app, read_settings, run_async
from worker.cli.lines import write_line
from worker.cli.times import parse_time_ms
from worker.domain.escaping import printable

if TYPE_CHECKING:
    from worker.decoding.decoder import EventDecoder
    from worker.domain.errors import RecordError
    from worker.operator.inspect.explorer import SearchResult
    from worker.operator.inspect.inspection import Place, Rejudged
    from worker.runtime.build import Judging
    from worker.runtime.settings import Settings


@app.command()
def inspect(
    where: Annotated[
        str, typer.Argument(help="The id of an event, or its position as topic/partition@offset.")
    ],
    config: Config = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Only outcomes from this time (RFC 3339), or from this long ago (2h), on."
        ),
    ] = None,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Send the prompt to the engine again, and mark what is parsed."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One document, for programs.")] = False,
) -> None:
    """Show an event, its exact prompt and its outcomes.

    A position is read directly, and its outcomes are searched from the time of
    the record on. For an id, the verdict and dead-letter topics are searched,
    completely or from --since on.

    Verdicts do not contain the completions of the model. --again loads the
    engine of the settings and sends the prompt again, at temperature 0.
    """
    from rich.console import Console
    from rich.progress import Progress

    from worker.operator.inspect.explorer import Explorer, NotFound
    from worker.operator.inspect.inspection import Rejudged
    from worker.runtime.build import build_judging
    from worker.runtime.connection import build_connection
    from worker.runtime.decoding import build_decoder

    since_ms = parse_time_ms(since, now=datetime.now(UTC)) if since else None
    settings = read_settings(config)
    # reports errors of the model before a long search
    judging = build_judging(settings) if again else None
    decoder = build_decoder(settings)
    found: SearchResult
    answers: dict[Place, Rejudged | RecordError] = {}

    async def work() -> None:
        nonlocal found, answers
        terminal = Console(stderr=True)
        shown = Progress(console=terminal, transient=True, disable=not terminal.is_terminal)
        with shown as progress:
            task = progress.add_task("Searching the outcomes", total=None)
            explorer = Explorer(
                build_connection(settings),
                verdict_topic=settings.output.verdict_topic,
                dead_letter_topic=settings.output.dead_letter_topic,
                group_id=settings.input.group_id,
                since_ms=since_ms,
                progress=lambda done, of: progress.update(task, completed=done, total=of),
            )
            found = await explorer.find(where)
            await decoder.load([h.original for h in found.histories if h.original is not None])
            if judging is not None:
                progress.update(task, description="Asking the engine again", total=None)
                answers = await _ask(judging, found)

    try:
        run_async(work())
    except NotFound as error:
        typer.echo(f"guardstream: {printable(str(error))}", err=True)
        raise typer.Exit(1) from None
    _print(found, answers, settings, decoder, json=json)
    unanswered = [f for f in found.histories if not isinstance(answers.get(f.place), Rejudged)]
    if again and unanswered:
        typer.echo("guardstream: The engine gave no answer to some of it.", err=True)
        raise typer.Exit(1)


async def _ask(judging: "Judging", found: "SearchResult") -> "dict[Place, Rejudged | RecordError]":
    from worker.operator.inspect.inspection import judge_again

    await judging.start()
    try:
        return {
            history.place: await judge_again(judging.judge, history.original)
            for history in found.histories
            if history.original is not None
        }
    finally:
        await judging.stop()


def _print(
    found: "SearchResult",
    answers: "dict[Place, Rejudged | RecordError]",
    settings: "Settings",
    decoder: "EventDecoder",
    *,
    json: bool,
) -> None:
    from rich.console import Console

    from worker.cli.views.inspection import show_history
    from worker.cli.views.inspection_document import document
    from worker.runtime.guards import build_guard

    guard, group = build_guard(settings).guard, settings.input.group_id
    shown = [(history, answers.get(history.place)) for history in found.histories]
    if json:
        histories = [document(history, guard, rejudged, decoder) for history, rejudged in shown]
        write_line({"findings": histories, "left_out": found.left_out})
        return
    console = Console(highlight=False, soft_wrap=True)
    plain = console.no_color or console.color_system is None
    now = time.time()
    for history, rejudged in shown:
        console.print(
            show_history(
                history, guard, rejudged, group=group, now=now, plain=plain, decoder=decoder
            )
        )
    if found.left_out:
        console.print(f"Older records of this id, not shown: {found.left_out}.")
