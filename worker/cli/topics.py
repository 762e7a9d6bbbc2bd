"""`guardstream topics`: create the topics that the settings name."""

from typing import Annotated

import typer

from worker.cli import Config, app, read_settings, run_async

_HOUR_MS = 3_600_000


@app.command()
def topics(
    partitions: Annotated[
        int, typer.Option(min=1, help="Of each input topic: the most workers that share it.")
    ],
    config: Config = None,
    output_partitions: Annotated[
        int | None, typer.Option(min=1, help="Of each output topic; else as the input.")
    ] = None,
    replicas: Annotated[int, typer.Option(min=1)] = 3,
    min_insync_replicas: Annotated[
        int, typer.Option(min=1, help="Less than 2 can lose what Kafka acknowledged.")
    ] = 2,
    retention_hours: Annotated[
        int, typer.Option(min=1, help="Of input, verdicts and decisions.")
    ] = 168,
    dead_letter_retention_hours: Annotated[int, typer.Option(min=1)] = 720,
) -> None:
    """Create the topics of the settings that are missing; change none that is there."""
    from worker.adapters.kafka.connection import create_topics, describe_topics
    from worker.runtime.connection import build_connection
    from worker.runtime.topics import output_topics

    settings = read_settings(config)
    connection = build_connection(settings)
    hours_of = {"dead letters": dead_letter_retention_hours}
    wanted = {
        topic.name: (output_partitions or partitions, hours_of.get(topic.holds, retention_hours))
        for topic in output_topics(settings)
    }
    wanted |= dict.fromkeys(settings.input.topics, (partitions, retention_hours))

    async def work() -> None:
        there = await describe_topics(connection, wanted)
        for name, (count, hours) in wanted.items():
            if name in there:
                typer.echo(f"{name}: was there, with {there[name].partitions} partitions")
                continue
            await create_topics(
                connection,
                [name],
                partitions=count,
                replicas=replicas,
                min_insync_replicas=str(min_insync_replicas),
                retention_ms=str(hours * _HOUR_MS),
            )
            typer.echo(f"{name}: created, with {count} partitions")

    run_async(work())
