"""What happens as more comes: more workers, partitions, waiting events, bytes; a million events."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.growth.costs import Effort, measure_costs
from benchmarks.growth.million import measure_million
from benchmarks.growth.report import section
from benchmarks.growth.workers import measure_workers
from worker.adapters.kafka.connection import Connection
from worker.demo.kafka.broker import Broker

__all__ = ["TITLE", "measure", "section"]

TITLE = "Scaling behaviour"

_FULL = Effort(rounds=2, events=6_000)
_QUICK = Effort(
    rounds=1,
    events=3_000,
    partitions=(1, 64),
    waiting=(1_000, 10_000),
    bytes=(512, 16_384),
)


def measure(*, quick: bool) -> dict[str, Any]:
    """See `benchmarks.measuring.Part`."""
    folder = Path(tempfile.mkdtemp(prefix="guardstream-growth-"))
    return asyncio.run(_measure(folder, quick=quick))


async def _measure(folder: Path, *, quick: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {"workers": []}
    async with Broker(heap_mebibytes=768) as broker:
        connection = Connection(broker.bootstrap_servers)
        for number in range(1 if quick else 2):
            print(f"  one, two and four workers, round {number + 1}", flush=True)
            found = await measure_workers(
                connection, folder, f"workers-{number}", seconds=3.0 if quick else 8.0
            )
            figures["workers"].append(found)
        figures["costs"] = await measure_costs(connection, folder, _QUICK if quick else _FULL)
    async with Broker(heap_mebibytes=768) as broker:
        events = 30_000 if quick else 1_000_000
        print(f"  {events} events through one worker", flush=True)
        connection = Connection(broker.bootstrap_servers)
        figures["million"] = await measure_million(connection, folder, events)
    return figures
