"""`guardstream produce`: events onto the input topic."""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from worker.cli import Config, app, read_settings, run_async

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
    from worker.demo.samples import keyed
    from worker.domain.errors import BusUnavailable, Retriable
    from worker.runtime.connection import build_connection

    settings = read_settings(config)
    target = topic or settings.input.topics[0]
    path = None if file == "-" else Path(file)
    if path is not None and not path.is_file():
        raise typer.BadParameter(f"there is no file {file}", param_hint="FILE")

    async def work(lines: BinaryIO) -> None:
        produced = 0
        publisher = KafkaPublisher(build_connection(settings), topics=[target])
        terminal = Console(stderr=True)
        shown = Progress(console=terminal, transient=True, disable=not terminal.is_terminal)
        await publisher.start()
        try:
            with shown as progress:
                size = path.stat().st_size if path else None
                task = progress.add_task(f"Producing to {target}", total=size)
                for chunk in _chunks(lines):
                    records = [
                        keyed(target, line.rstrip(b"\r\n")) for line in chunk if line.strip()
                    ]
                    try:
                        await publisher.publish_all(records)
                    except Retriable as error:
                        raise BusUnavailable(
                            f"Producing to {target} failed after {produced} events ({error});"
                            " check Kafka and produce the rest again."
                        ) from error
                    produced += len(records)
                    progress.advance(task, sum(map(len, chunk)))
        finally:
            await publisher.stop()
        typer.echo(f"Produced {produced} events to {target}.", err=True)

    if path is None:
        run_async(work(sys.stdin.buffer))
    else:
        with path.open("rb") as lines:
            run_async(work(lines))


def _chunks(lines: BinaryIO) -> Iterator[list[bytes]]:
    while chunk := list(islice(lines, _CHUNK)):
        yield chunk
