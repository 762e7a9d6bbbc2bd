"""`python -m benchmarks.worker_trial EVENTS PARTITIONS`: one worker, alone in its process.

Its settings are in the environment, as a worker's are; it ends when so many events are settled,
and prints what they took as one line of JSON.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from worker.runtime.settings import load_settings
from worker.runtime.worker import Worker

_WARM_UP = 0.2
_POLL_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Trial:
    """What the events took.

    Attributes:
        events: outcomes after the warm-up.
        seconds: until the last of them.
        judged: outcomes until these are settled; more than `events` if more wait.
        cpu_seconds: what those took.
        takeover_seconds: from the worker's start until it held every partition.
        first_bytes: resident, before the worker started.
        most_bytes: resident, at most.
    """

    events: int
    seconds: float
    judged: int
    cpu_seconds: float
    takeover_seconds: float
    first_bytes: int
    most_bytes: int


def main(events: int, partitions: int) -> None:
    """Let so many events through, and print what they took."""
    logging.disable(logging.WARNING)
    typer.echo(json.dumps(asdict(asyncio.run(_run(events, partitions)))))


async def _run(events: int, partitions: int) -> Trial:
    worker = Worker(load_settings())
    first_bytes = _resident_bytes("VmRSS")
    started = time.perf_counter()
    running = asyncio.create_task(worker.run())
    await _until(lambda: worker.held == partitions, running)
    taken_over = time.perf_counter()
    # whichever is later: what takes partitions over is not what moves events
    await _until(lambda: _judged(worker) >= _WARM_UP * events, running)
    before, began, cpu = _judged(worker), time.perf_counter(), time.process_time()
    await _until(lambda: _judged(worker) >= events, running)
    seconds, counted = time.perf_counter() - began, _judged(worker) - before
    # what trails the last outcome is work too: transactions of many partitions above all
    await _until(lambda: worker.settled >= events, running)
    used, judged = time.process_time() - cpu, _judged(worker) - before
    most_bytes = _resident_bytes("VmHWM")
    if not counted:
        raise SystemExit(f"{events} events came out at once; let more through.")
    assert worker.outcomes["verdict"] == _judged(worker), "every outcome is a verdict"  # noqa: S101
    worker.stop()
    await running
    return Trial(counted, seconds, judged, used, taken_over - started, first_bytes, most_bytes)


def _judged(worker: Worker) -> int:
    """Outcomes, which come one by one; offsets settle a second's worth at once."""
    return sum(worker.outcomes.values())


async def _until(condition: Callable[[], bool], running: asyncio.Task[None]) -> None:
    while not condition():
        if running.done():
            running.result()
        await asyncio.sleep(_POLL_SECONDS)


def _resident_bytes(name: str) -> int:
    """As the kernel counts it; `ru_maxrss` begins with what the starting process had."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[name].split()[0]) * 1024


if __name__ == "__main__":
    typer.run(main)
