"""`guardstream produce`: events onto the input topic."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from worker.cli import Config, app, run_async
from worker.errors import Retriable

_CHUNK = 500


@app.command()
def produce(
    file: Annotated[str, typer.Argument(help="JSON Lines of events, or - for stdin.")],
    config: Config = None,
    topic: Annotated[str | None, typer.Option(help="Instead of the first input topic.")] = None,
) -> None:
    """Put JSON Lines of events on the input topic, as they stand; keys are conversation ids."""
    from rich.console import Console
    from rich.progress import Progress

    from worker.adapters.kafka.publisher import KafkaPublisher
    from worker.app import build_connection
    from worker.cli.samples import keyed
    from worker.settings import load_settings

    settings = load_settings(config)
    target = topic or settings.input.topics[0]
    if file != "-" and not Path(file).is_file():
        raise typer.BadParameter(f"there is no file {file}", param_hint="FILE")
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    records = [keyed(target, line) for line in data.splitlines() if line.strip()]

    async def work() -> None:
        publisher = KafkaPublisher(build_connection(settings), topics=[target])
        await publisher.start()
        try:
            with Progress(console=Console(stderr=True), transient=True) as progress:
                task = progress.add_task(f"Producing to {target}", total=len(records))
                for start in range(0, len(records), _CHUNK):
                    chunk = records[start : start + _CHUNK]
                    try:
                        await publisher.publish_all(chunk)
                    except Retriable as error:
                        raise typer.BadParameter(str(error)) from error
                    progress.advance(task, len(chunk))
        finally:
            await publisher.stop()
        typer.echo(f"Produced {len(records)} events to {target}.", err=True)

    run_async(work())
