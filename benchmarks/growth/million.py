"""A million events through one worker: what memory it holds over the events."""

from pathlib import Path
from typing import Any

from benchmarks.growth.curves import Unmeasured, over_events
from benchmarks.soak import DEAD, VERDICTS, push
from worker.adapters.kafka.connection import Connection
from worker.adapters.kafka.reader import held_offsets


async def measure_million(connection: Connection, folder: Path, events: int) -> dict[str, Any]:
    """Push so many events through one worker, as fast as it goes, and read its memory.

    Raises:
        Unmeasured: not every event has its verdict.
    """
    soaked = await push(connection, events, "at_least_once", folder, workers=1)
    verdicts = await _held(connection, VERDICTS)
    if soaked.uncommitted or verdicts < events or await _held(connection, DEAD):
        raise Unmeasured(f"{events} events were pushed, and {verdicts} verdicts came of them.")
    (worker,) = soaked.workers
    resident = [(reading.at, reading.resident_bytes) for reading in worker.meter.readings]
    return {
        "events": events,
        "seconds": soaked.seconds,
        "repeated": verdicts - events,
        "curve": [
            (done, round(mib, 2)) for done, mib in over_events(soaked.progress, resident) if done
        ],
    }


async def _held(connection: Connection, topic: str) -> int:
    return sum(len(held) for held in (await held_offsets(connection, topic)).values())
