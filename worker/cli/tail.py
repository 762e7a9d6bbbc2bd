"""`guardstream tail`: follow the verdict topic."""

import sys
from typing import Annotated

import typer

from worker.cli import Config, app, read_settings, run_async


@app.command()
def tail(
    config: Config = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the verdicts as JSON, unchanged.")
    ] = False,
    from_beginning: Annotated[bool, typer.Option(help="Start with the oldest verdict.")] = False,
    count: Annotated[
        int | None, typer.Option(min=1, help="Stop after this number of verdicts.")
    ] = None,
) -> None:
    """Follow the verdict topic."""
    from rich.console import Console

    from worker.adapters.kafka.reader import read_topics
    from worker.cli.views.verdicts import show_verdict
    from worker.runtime.connection import build_connection

    settings = read_settings(config)
    console = Console()

    async def work() -> None:
        seen = 0
        reader = read_topics(
            build_connection(settings),
            [settings.output.verdict_topic],
            from_beginning=from_beginning,
        )
        async for record in reader:
            if json:
                sys.stdout.buffer.write((record.value or b"null") + b"\n")
                sys.stdout.buffer.flush()
            elif record.value is not None:
                console.print(show_verdict(record.value, record.headers))
            seen += 1
            if seen == count:
                break
        await reader.aclose()

    run_async(work())
