"""`guardstream judge`: verdicts without Kafka."""

import asyncio
import time
from typing import Annotated

import typer

from worker.cli import Config, app, run_async
from worker.cli.lines import read_lines, write_line
from worker.errors import RecordError
from worker.records import Partition, Record

_AT_ONCE = 512


@app.command()
def judge(
    config: Config = None,
    model: Annotated[
        str | None, typer.Option(help="Instead of engine.model; `demonstration` ships.")
    ] = None,
) -> None:
    """Events as JSON Lines on stdin to verdicts on stdout, with the engine, without Kafka."""
    from worker.app import build_judging
    from worker.settings import load_settings

    overrides = {"engine": {"model": model}} if model else {}
    judging = build_judging(load_settings(config, **overrides))
    lines = list(read_lines())
    failures = 0

    async def verdict_line(record: Record) -> bool:
        case = (await judging.judge.prepare([record]))[0]
        try:
            if isinstance(case, RecordError):
                raise case
            write_line(await judging.judge.judge(case))
        except RecordError as error:
            typer.echo(f"guardstream: Line {record.offset + 1}: {error}", err=True)
            return False
        return True

    async def work() -> None:
        nonlocal failures
        await judging.engine.start()
        try:
            for start in range(0, len(lines), _AT_ONCE):
                now = time.time()
                records = [
                    Record(
                        Partition("stdin", 0), 0, number - 1, None, line, (), int(now * 1000), now
                    )
                    for number, line in lines[start : start + _AT_ONCE]
                ]
                done = await asyncio.gather(*map(verdict_line, records))
                failures += done.count(False)
        finally:
            await judging.engine.stop()

    run_async(work())
    if failures:
        raise typer.Exit(1)
