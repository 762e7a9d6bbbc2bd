"""Many events, two workers, rolling restarts: is everything there, once, and memory flat?

Workers are processes, restarted in turn with SIGTERM; their resident memory is sampled every
second. At the end every input offset must have exactly one outcome (in `exactly_once`; at least
one otherwise), and every partition must be committed to its end.
"""

import asyncio
import json
import tempfile
import time
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.processes import WORKER, Process, settings_variables
from benchmarks.topics import count_outcomes, event_values, fill
from worker.adapters.kafka.connection import Connection, create_topics
from worker.adapters.kafka.reader import committed_offsets
from worker.demo.kafka.broker import Broker

VERDICTS, DEAD = "verdicts", "dead"
_INPUT, _GROUP = "events", "soak"
_PARTITIONS = 8
_COMPOSED = 5000
_YOUNG_SECONDS = 20.0


def main(
    events: Annotated[int, typer.Option(help="How many.")] = 1_000_000,
    guarantee: Annotated[str, typer.Option(help="at_least_once or exactly_once.")] = "exactly_once",
    restart_seconds: Annotated[float, typer.Option(help="Between two restarts.")] = 60.0,
    output: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Push events through two workers that are restarted in turn; exit 1 if one is missing."""
    figures = asyncio.run(_soak(events, guarantee, restart_seconds))
    text = json.dumps(figures, indent=2)
    typer.echo(text)
    if output:
        output.write_text(text + "\n")
    if figures["lost"] or figures["uncommitted"]:
        raise typer.Exit(1)
    if guarantee == "exactly_once" and figures["repeated"]:
        raise typer.Exit(1)


@dataclass(slots=True)
class Soaked:
    """What became of the events.

    Attributes:
        workers: every process there was; their meters hold what memory each took when.
        progress: Unix seconds, and how many events were committed then.
    """

    seconds: float = 0.0
    restarts: int = 0
    uncommitted: int = 0
    workers: list[Process] = field(default_factory=list)
    progress: list[tuple[float, int]] = field(default_factory=list)


async def push(
    connection: Connection,
    events: int,
    guarantee: str,
    folder: Path,
    *,
    workers: int = 2,
    restart_seconds: float = float("inf"),
) -> Soaked:
    """Push events through this many workers, as fast as it goes, until all are committed."""
    await create_topics(connection, [_INPUT, VERDICTS, DEAD], partitions=_PARTITIONS)
    soaked = Soaked()
    values = islice(cycle(event_values(_COMPOSED)), events)
    filling = asyncio.create_task(fill(connection, _INPUT, values, partitions=_PARTITIONS))
    started = restarted = time.monotonic()
    running: list[Process] = []

    def start() -> None:
        name = f"worker-{len(soaked.workers)}"
        worker = Process(name, WORKER, folder / f"{name}.log", _settings(connection, guarantee))
        worker.start()
        running.append(worker)
        soaked.workers.append(worker)

    try:
        for _ in range(workers):
            start()
        while not await _settled(connection, filling, soaked):
            for worker in running:
                worker.require_running()
                worker.meter.read()
            await asyncio.sleep(1.0)
            if time.monotonic() - restarted > restart_seconds:
                await running.pop(0).stop()
                soaked.restarts += 1
                start()
                restarted = time.monotonic()
        soaked.seconds = time.monotonic() - started
        for worker in running:
            worker.meter.read()
            await worker.stop()
    finally:
        filling.cancel()
        for worker in running:
            worker.kill()
    soaked.uncommitted = await _note_progress(connection, soaked)
    return soaked


def _settings(connection: Connection, guarantee: str) -> dict[str, str]:
    return settings_variables(
        {
            "KAFKA__BOOTSTRAP_SERVERS": connection.bootstrap_servers,
            "INPUT__TOPICS": json.dumps([_INPUT]),
            "INPUT__GROUP_ID": _GROUP,
            "OUTPUT__VERDICT_TOPIC": VERDICTS,
            "OUTPUT__DEAD_LETTER_TOPIC": DEAD,
            "DELIVERY__GUARANTEE": guarantee,
            "ENGINE__KIND": "simulated",
            "ENGINE__SIMULATED__TIME_TO_FIRST_TOKEN_SECONDS": "0.01",
            "ENGINE__SIMULATED__TIME_PER_OUTPUT_TOKEN_SECONDS": "0",
            "HEALTH__PORT": "0",
        }
    )


async def _settled(connection: Connection, filling: asyncio.Task[None], soaked: Soaked) -> bool:
    filled = filling.done()
    if filled:
        filling.result()
    return await _note_progress(connection, soaked) == 0 and filled


async def _note_progress(connection: Connection, soaked: Soaked) -> int:
    """Add to the progress; how much of what is there is not committed."""
    offsets = await committed_offsets(connection, _INPUT, _GROUP)
    done = sum(committed or 0 for _, committed, _ in offsets)
    soaked.progress.append((time.time(), done))
    return sum(end for *_, end in offsets) - done


async def _soak(events: int, guarantee: str, restart_seconds: float) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="guardstream-soak-"))
    async with Broker(heap_mebibytes=768) as broker:
        connection = Connection(broker.bootstrap_servers)
        soaked = await push(connection, events, guarantee, folder, restart_seconds=restart_seconds)
        counts = await count_outcomes(connection, _INPUT, verdicts=VERDICTS, dead_letters=DEAD)
    return {
        "events": events,
        "guarantee": guarantee,
        "seconds": round(soaked.seconds, 1),
        "events_per_second": round(events / soaked.seconds),
        "restarts": soaked.restarts,
        "lost": sum(times == 0 for held in counts.values() for times in held),
        "repeated": sum(times - 1 for held in counts.values() for times in held if times > 1),
        "uncommitted": soaked.uncommitted,
        "memory": _memory(soaked.workers),
    }


def _memory(workers: list[Process]) -> dict[str, float]:
    """Resident memory in MiB: of workers 20 s old, of the oldest at each's end, and the most."""
    mib = 1 << 20
    sizes = [reading.resident_bytes for worker in workers for reading in worker.meter.readings]
    young, grown = [0], [0]
    for worker in workers:
        grown_up = [
            reading.resident_bytes
            for reading in worker.meter.readings
            if reading.at - worker.started_at >= _YOUNG_SECONDS
        ]
        if grown_up:
            young.append(grown_up[0])
            grown.append(grown_up[-1] - grown_up[0])
    return {
        "at_20_seconds_mib": round(max(young) / mib),
        "most_mib": round(max(sizes, default=0) / mib),
        "most_growth_after_20_seconds_mib": round(max(grown) / mib),
    }


if __name__ == "__main__":
    typer.run(main)
