"""The cost of telemetry: the CPU time of metrics and log context for one record.

The machine's noise between two runs is larger than the effect, so the calls for one record are
timed alone, and compared with the CPU that the complete worker spends on a record in
the same run (`benchmarks.guarantees`).
"""

import asyncio
import statistics
import time
from collections import defaultdict
from typing import Annotated

import typer

from benchmarks.guarantees import measure
from benchmarks.micro.telemetry import BATCH, TelemetryCalls
from tests.collector import Collector
from worker.demo.kafka.broker import free_ports

_BATCHES = 300


def main(
    events: Annotated[int, typer.Option(help="Events through the worker in each round.")] = 10_000,
    rounds: Annotated[int, typer.Option(help="Of each.")] = 3,
) -> None:
    """Print the share of a worker's CPU that goes into telemetry.

    Then events per second with all spans and metrics pushed to a collector that is well, that
    refuses, that never answers, and to one that is down. The collector is in the same process, so
    one that is well takes of its CPU too.
    """
    cost = statistics.median(_seconds_per_record() for _ in range(rounds)) * 1e6
    typer.echo(f"telemetry           {cost:6.1f} µs of CPU a record")
    for guarantee, figures in asyncio.run(measure(events, rounds, partitions=8)).items():
        whole = statistics.median(figure["cpu_us_per_event"] for figure in figures)
        typer.echo(f"{guarantee:<20}{whole:6.0f} µs of CPU a record: {cost / whole:.1%} of it")
    asyncio.run(_with_collectors(events, rounds))


async def _with_collectors(events: int, rounds: int) -> None:
    (closed,) = free_ports(1)
    rates: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for mood in ("none", "well", "refusing", "hanging", "down"):
            async with Collector("well" if mood in ("none", "down") else mood) as collector:
                endpoint = f"http://127.0.0.1:{closed}" if mood == "down" else collector.endpoint
                settings = (
                    {} if mood == "none" else {"otlp_endpoint": endpoint, "push_seconds": 1.0}
                )
                found = await measure(events, 1, 8, telemetry=settings)
            rates[mood] += [figures[0]["events_per_second"] for figures in found.values()]
    for mood, found in rates.items():
        typer.echo(f"collector {mood:<10}{statistics.median(found):6.0f} events/s")


def _seconds_per_record() -> float:
    calls = TelemetryCalls()
    began = time.process_time()
    for _ in range(_BATCHES):
        calls.make()
    return (time.process_time() - began) / (_BATCHES * BATCH)


if __name__ == "__main__":
    typer.run(main)
