"""`guardstream redrive`: sends dead letters back to their original topics."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from worker.cli import Config, app, read_settings, run_async
from worker.cli.lines import write_line
from worker.cli.times import parse_time_ms
from worker.domain.errors import Stage
from worker.domain.escaping import printable

if TYPE_CHECKING:
    from worker.operator.redrive.redriving import DeadLetter, Plan

_STAGES = " | ".join(get_args(Stage))
_TRUNCATED_SHOWN = 10


@app.command()
def redrive(
    config: Config = None,
    send: Annotated[bool, typer.Option("--send", help="Send; without it nothing is.")] = False,
    stage: Annotated[
        list[str] | None,
        typer.Option(help=f"{_STAGES}; repeatable.", show_default=False),
    ] = None,
    error: Annotated[
        list[str] | None, typer.Option(help="As JudgingTimedOut; repeatable.", show_default=False)
    ] = None,
    topic: Annotated[
        list[str] | None, typer.Option(help="The original topic; repeatable.", show_default=False)
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="The record's key; repeatable.", show_default=False)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Dead letters from this time (RFC 3339), or from this long ago (2h), on."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Dead letters before this time; format as --since.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    max_deliveries: Annotated[
        int, typer.Option(min=1, help="Leave what the worker has failed on so often.")
    ] = 3,
    json: Annotated[bool, typer.Option("--json", help="JSON Lines, for programs.")] = False,
) -> None:
    """Send dead letters back to their original topics; a dry run unless --send is given.

    Reads the dead-letter topic up to its end at the start. Key, value and
    headers are those of the original record; an additional header counts its
    deliveries.

    No dead letter is sent twice, with any filters of later runs: records are
    produced in one transaction with a marker, and marked dead letters are
    skipped. A crash loses none and, for read_committed consumers, repeats none;
    other consumers may see some twice.

    A truncated dead letter cannot be sent back: it is listed.
    """
    from rich.console import Console
    from rich.progress import Progress

    from worker.operator.redrive.redriver import redrive as run_redrive
    from worker.operator.redrive.redriving import Selection
    from worker.runtime.connection import build_connection

    if unknown := set(stage or ()) - set(get_args(Stage)):
        raise typer.BadParameter(f"{unknown.pop()!r} is none of {_STAGES}", param_hint="--stage")
    now = datetime.now(UTC)
    selection = Selection(
        stages=stage or (),
        errors=error or (),
        topics=topic or (),
        keys=[one.encode("utf-8", "surrogateescape") for one in key or ()],
        since_ms=parse_time_ms(since, now=now) if since else None,
        until_ms=parse_time_ms(until, now=now) if until else None,
    )
    settings = read_settings(config)
    dead_letter_topic = settings.output.dead_letter_topic
    plan: Plan

    async def work() -> None:
        nonlocal plan
        terminal = Console(stderr=True)
        shown = Progress(console=terminal, transient=True, disable=not terminal.is_terminal)
        with shown as progress:
            task = progress.add_task(f"Reading {dead_letter_topic}", total=None)
            plan = await run_redrive(
                build_connection(settings),
                dead_letter_topic,
                selection,
                max_deliveries=max_deliveries,
                limit=limit,
                send=send,
                progress=lambda done, of: progress.update(task, completed=done, total=of),
            )

    run_async(work())
    if json:
        for line in _lines(plan, sent=send):
            write_line(line)
    else:
        _print(plan, sent=send)
    for message in _failures(plan):
        typer.echo(f"guardstream: {message}", err=True)
    if plan.failed:
        raise typer.Exit(1)


def _print(plan: "Plan", *, sent: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)

    def table(*columns: str, rows: Iterator[tuple[str, ...]]) -> Table:
        made = Table(*columns, box=None, pad_edge=False)
        for row in rows:
            # headers and keys are untrusted: text, never markup
            made.add_row(*(Text(printable(cell), overflow="fold") for cell in row))
        return made

    count = plan.taken.total()
    if count:
        groups = ((*group, str(dead_letters)) for group, dead_letters in sorted(plan.taken.items()))
        console.print(table("topic", "stage", "error", "dead letters", rows=groups))
        console.print(f"\nThe first {len(plan.first)}:")
        console.print(
            table(
                *("dead letter", "from", "published at", "deliveries", "key", "message"),
                rows=(tuple(map(str, _fields(dead_letter).values())) for dead_letter in plan.first),
            )
        )
        console.print()
    for message in _skipped(plan):
        console.print(message, markup=False)
    if sent:
        console.print(f"{_dead_letters(count)} sent back.")
    elif count:
        console.print(f"A dry run: {_dead_letters(count)} would be sent back; --send does it.")
    else:
        console.print("A dry run: no dead letter would be sent back.")


def _skipped(plan: "Plan") -> Iterator[str]:
    """A sentence for each reason why selected dead letters are not sent."""
    from worker.operator.redrive.redriving import SkipReason

    sentences = {
        SkipReason.REDRIVEN: "sent back before.",
        SkipReason.DELIVERED_ENOUGH: f"left after {plan.max_deliveries} deliveries or more; see"
        " --max-deliveries.",
        SkipReason.BEYOND_LIMIT: "left beyond --limit.",
    }
    for reason, sentence in sentences.items():
        if count := sum(plan.skipped_for(reason).values()):
            yield f"{_dead_letters(count)} {sentence}"
    if plan.truncated:
        shown = ", ".join(plan.truncated[:_TRUNCATED_SHOWN])
        more = len(plan.truncated) - _TRUNCATED_SHOWN
        yield (
            f"{_dead_letters(len(plan.truncated))} truncated to fit the topic cannot be sent back:"
            f" {shown}" + (f" and {more} more; --json names all." if more > 0 else ".")
        )
    if plan.other_records:
        yield f"Records that are no dead letters of Guardstream: {plan.other_records}."


def _failures(plan: "Plan") -> Iterator[str]:
    from worker.operator.redrive.redriving import SkipReason

    for name, count in plan.skipped_for(SkipReason.NO_TOPIC).items():
        yield (
            f"The topic {printable(name)} is gone, so {_dead_letters(count)} cannot go back;"
            " create it and run redrive again."
        )
    for name, count in plan.skipped_for(SkipReason.TOO_LARGE).items():
        yield (
            f"The topic {printable(name)} takes {plan.max_bytes[name]} bytes, too few for"
            f" {_dead_letters(count)}; raise its max.message.bytes and run redrive again."
        )


def _lines(plan: "Plan", *, sent: bool) -> Iterator[dict[str, Any]]:
    """The plan for programs, as JSON Lines."""
    for (topic, stage, error), count in sorted(plan.taken.items()):
        yield {"kind": "count", "topic": topic, "stage": stage, "error": error, "letters": count}
    for dead_letter in plan.first:
        yield {"kind": "letter", **_fields(dead_letter)}
    for (reason, topic), count in sorted(plan.skipped.items()):
        yield {"kind": "left", "reason": reason, "topic": topic, "letters": count}
    for where in plan.truncated:
        yield {"kind": "cut", "letter": where}
    yield {
        "kind": "total",
        "letters": plan.taken.total(),
        "sent": sent,
        "foreign_records": plan.other_records,
    }


def _fields(dead_letter: "DeadLetter") -> dict[str, Any]:
    from worker.domain.verdicts import rfc3339

    key = dead_letter.record.key
    return {
        "letter": str(dead_letter.record),
        "from": dead_letter.origin,
        "dead_lettered_at": rfc3339(dead_letter.record.timestamp_ms / 1000),
        "deliveries": dead_letter.deliveries,
        "key": "" if key is None else key.decode("utf-8", "backslashreplace"),
        "message": dead_letter.message,
    }


def _dead_letters(count: int) -> str:
    return "1 dead letter" if count == 1 else f"{count} dead letters"
