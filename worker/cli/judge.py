"""`guardstream judge`: verdicts without Kafka."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import Config, app, read_settings, run_async
from worker.cli.lines import read_lines, write_line
from worker.domain.errors import RecordError
from worker.domain.events import Skip
from worker.domain.records import Record, record_of_line

if TYPE_CHECKING:
    from worker.flow.judge import Judge
    from worker.flow.judging_all import Judged


@app.command()
def judge(
    config: Config = None,
    model: Annotated[
        str | None, typer.Option(help="Instead of engine.model; `demonstration` ships.")
    ] = None,
) -> None:
    """Events as JSON Lines on stdin to verdicts on stdout, with the engine, without Kafka.

    Verdicts come as they are ready, which need not be the order of the events.
    """
    from rich.console import Console
    from rich.progress import Progress

    from worker.decoding.values import JsonReader
    from worker.flow.judging_all import judge_all
    from worker.runtime.build import build_judging
    from worker.runtime.decoding import build_decoder

    overrides = {"engine": {"model": model}} if model else {}
    settings = read_settings(config, **overrides)
    judging = build_judging(settings, decoder=build_decoder(settings, JsonReader()))
    terminal = Console(stderr=True)
    counts: Counter[str] = Counter()

    async def work() -> None:
        await judging.start()
        try:
            with Progress(
                console=terminal, transient=True, disable=not terminal.is_terminal
            ) as progress:
                task = progress.add_task("Judging", total=None)
                judged = judge_all(judging.judge, _records(), judging.in_flight_limit)
                async with aclosing(judged):
                    async for exchanges in judged:
                        counts.update(_write(judging.judge, one) for one in exchanges)
                        progress.update(task, description=f"Judged {counts.total()}")
        finally:
            await judging.stop()

    run_async(work())
    if counts["failed"]:
        raise typer.Exit(1)


def _write(judge: "Judge", one: "Judged") -> str:
    """Write the verdict on an exchange, or why there is none; what is counted."""
    if isinstance(one.result, Skip):
        return "skipped"
    if isinstance(one.result, RecordError):
        exchange = "" if one.number is None else f", exchange {one.number}"
        typer.echo(f"guardstream: Line {one.record.offset + 1}{exchange}: {one.result}", err=True)
        return "failed"
    write_line(judge.conclude(*one.result))
    return "judged"


async def _records() -> AsyncIterator[Record]:
    """A record for each line of stdin."""
    lines = read_lines()
    # in a thread: waiting for input must not block the event loop
    while (numbered := await asyncio.to_thread(next, lines, None)) is not None:
        number, line = numbered
        yield record_of_line("stdin", number - 1, line, time.time())
