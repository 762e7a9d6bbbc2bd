"""`python -m benchmarks.contenders.parallel_consumer`: becomes the Java program."""

import os
from typing import Annotated, Literal

import typer

from benchmarks.contenders.contract import Unprepared
from benchmarks.contenders.parallel_consumer import command, prepare
from worker.demo.kafka.jars import java_environment


def main(
    bootstrap_servers: Annotated[str, typer.Option()],
    source: Annotated[str, typer.Option("--input", help="The topic of events.")],
    output: Annotated[str, typer.Option(help="The topic of verdicts.")],
    dead: Annotated[str, typer.Option(help="The topic of what is not an event.")],
    group: Annotated[str, typer.Option()],
    guarantee: Annotated[Literal["at_least_once", "exactly_once"], typer.Option()],
    engine_url: Annotated[str, typer.Option(help="Such as http://127.0.0.1:8000.")],
) -> None:
    """Move events to verdicts with Confluent Parallel Consumer until SIGTERM."""
    if guarantee == "exactly_once":
        # its ExternalEngine refuses the transactional commit mode
        typer.echo("Parallel Consumer's Vert.x module does not support transactions.", err=True)
        raise typer.Exit(2)
    try:
        prepare(lambda sentence: typer.echo(sentence, err=True))
    except Unprepared as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    given = {
        "--bootstrap-servers": bootstrap_servers,
        "--input": source,
        "--output": output,
        "--dead": dead,
        "--group": group,
        "--engine-url": engine_url.rstrip("/"),
    }
    arguments = command(*(word for pair in given.items() for word in pair))
    os.execve(arguments[0], arguments, java_environment())  # noqa: S606 one process, one CPU count


if __name__ == "__main__":
    typer.run(main)
