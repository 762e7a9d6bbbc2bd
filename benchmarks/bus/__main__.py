"""`python -m benchmarks.bus CONTENDER...`: some trials of some contenders, to look at them."""

import asyncio
import logging
from typing import Annotated

import typer

from benchmarks.bus.measurement import BASE_BYTES, BASE_PARTITIONS, Measuring
from benchmarks.contenders import CONTENDERS
from worker.adapters.kafka.connection import Connection
from worker.demo.kafka.broker import Broker


def main(
    contenders: Annotated[list[str], typer.Argument(help=f"Of {', '.join(CONTENDERS)}.")],
    events: int = 4_000,
    rounds: int = 1,
    partitions: int = BASE_PARTITIONS,
    value_bytes: int = BASE_BYTES,
) -> None:
    """Run these in turn, and print what each took."""
    logging.disable(logging.WARNING)
    for name in contenders:
        if name not in CONTENDERS:
            raise typer.BadParameter(
                f"unknown contender {name}; choose from {', '.join(CONTENDERS)}"
            )
    asyncio.run(_run(contenders, events, rounds, partitions, value_bytes))


async def _run(
    contenders: list[str], events: int, rounds: int, partitions: int, value_bytes: int
) -> None:
    async with Broker(heap_mebibytes=768) as broker:
        measuring = Measuring(Connection(broker.bootstrap_servers))
        able = await measuring.prepare(contenders)
        for unable in measuring.unable:
            typer.echo(f"  {unable['contender']} {unable['guarantee']}: {unable['why']}")
        for _ in range(rounds):
            for name, guarantee in able:
                await measuring.run(
                    name, guarantee, partitions=partitions, value_bytes=value_bytes, events=events
                )


if __name__ == "__main__":
    typer.run(main)
