"""`guardstream judge`: verdicts without Kafka."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from worker.cli import Config, app, read_settings, run_async
from worker.cli.lines import read_lines, write_line
from worker.domain.errors import RecordError
from worker.domain.records import Partition, Record


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

    from worker.runtime.build import build_judging

    overrides = {"engine": {"model": model}} if model else {}
    settings = read_settings(config, **overrides)
    judging = build_judging(settings)
    terminal = Console(stderr=True)
    counts: Counter[str] = Counter()
    # a little more than the engine runs at once, so that it never waits for us
    limit = judging.engine.max_num_seqs + settings.batch.max_records

    async def judge_line(number: int, line: bytes) -> None:
        now = time.time()
        where = Partition("stdin", 0)
        record = Record(where, 0, number - 1, None, line, (), int(now * 1000), now)
        try:
            case = (await judging.judge.prepare([record]))[0]
            if isinstance(case, RecordError):
                raise case
            write_line(await judging.judge.judge(case))
            counts["judged"] += 1
        except RecordError as error:
            typer.echo(f"guardstream: Line {number}: {error}", err=True)
            counts["failed"] += 1

    async def work() -> None:
        await judging.start()
        try:
            with Progress(
                console=terminal, transient=True, disable=not terminal.is_terminal
            ) as progress:
                task = progress.add_task("Judging", total=None)

                async def one(number: int, line: bytes) -> None:
                    await judge_line(number, line)
                    progress.update(task, description=f"Judged {counts.total()}")

                await _side_by_side(one, limit)
        except BaseExceptionGroup as failures:
            # one is enough: it cancelled all others
            raise failures.exceptions[0] from None
        finally:
            await judging.stop()

    run_async(work())
    if counts["failed"]:
        raise typer.Exit(1)


async def _side_by_side(work: Callable[[int, bytes], Awaitable[None]], limit: int) -> None:
    """Do the work for every line of stdin, of so many at a time."""
    room, lines = asyncio.Semaphore(limit), read_lines()

    async def one(number: int, line: bytes) -> None:
        try:
            await work(number, line)
        finally:
            room.release()

    async with asyncio.TaskGroup() as group:
        while True:
            await room.acquire()
            # in a thread, since whoever writes our input may take their time
            numbered = await asyncio.to_thread(next, lines, None)
            if numbered is None:
                break
            group.create_task(one(*numbered))
