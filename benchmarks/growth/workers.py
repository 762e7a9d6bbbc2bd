"""One worker, then two, then four of one group, with an engine that is the limit as a GPU is."""

import asyncio
import json
import time
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import orjson

from benchmarks.growth.curves import SETTLING_SECONDS, stages
from benchmarks.processes import WORKER, Meter, Process, ProcessFailed, settings_variables
from benchmarks.topics import event_values, fill
from worker.adapters.kafka.connection import Connection, create_topics
from worker.adapters.kafka.reader import read_topics

NUMBERS = (1, 2, 4)
PLACES = 32
FIRST_TOKEN_SECONDS = 0.05
TOKEN_SECONDS = 0.0015
_PARTITIONS = 16
_METER_SECONDS = 0.25
_JOINING_SECONDS = 20.0
_PATIENCE_SECONDS = 90.0
# more than a worker with this engine judges, so that no worker waits for events
_MOST_EVENTS_PER_SECOND = 200


async def measure_workers(
    connection: Connection, folder: Path, name: str, *, seconds: float
) -> dict[str, Any]:
    """Let one worker judge, then two, then four, each for so long; what each judged, and when."""
    topic, verdicts, dead = (f"{name}-{what}" for what in ("events", "verdicts", "dead"))
    events = round(_MOST_EVENTS_PER_SECOND * sum(NUMBERS) * (seconds + _JOINING_SECONDS))
    values = islice(cycle(event_values(5000)), events)
    await fill(connection, topic, values, partitions=_PARTITIONS)
    await create_topics(
        connection,
        [verdicts, dead],
        partitions=_PARTITIONS,
        # LogAppendTime: one clock for the verdicts of all workers
        message_timestamp_type="LogAppendTime",
    )
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": connection.bootstrap_servers,
        "INPUT__TOPICS": json.dumps([topic]),
        "INPUT__GROUP_ID": name,
        "OUTPUT__VERDICT_TOPIC": verdicts,
        "OUTPUT__DEAD_LETTER_TOPIC": dead,
        "ENGINE__KIND": "simulated",
        "ENGINE__MAX_NUM_SEQS": str(PLACES),
        "ENGINE__SIMULATED__TIME_TO_FIRST_TOKEN_SECONDS": str(FIRST_TOKEN_SECONDS),
        "ENGINE__SIMULATED__TIME_PER_OUTPUT_TOKEN_SECONDS": str(TOKEN_SECONDS),
        "HEALTH__PORT": "0",
    }
    running: list[Process] = []
    written: dict[str, list[float]] = {}
    ends: list[float] = []
    watching = [
        asyncio.create_task(_meter(running)),
        asyncio.create_task(_read(connection, verdicts, written)),
    ]
    try:
        for number in NUMBERS:
            while len(running) < number:
                who = f"worker-{len(running) + 1}"
                # the guard's name in a verdict identifies the worker that wrote it
                variables = settings_variables(settings | {"ENGINE__REVISION": who})
                worker = Process(who, WORKER, folder / f"{name}-{who}.log", variables)
                worker.start()
                running.append(worker)
            await _until_all_judge(running, written)
            await asyncio.sleep(SETTLING_SECONDS + seconds)
            ends.append(time.time())
        await asyncio.sleep(_METER_SECONDS)  # until what was written by now is read
        for worker in running:
            await worker.stop()
    finally:
        for task in watching:
            task.cancel()
        for worker in running:
            worker.kill()
    for task in watching:
        if not task.cancelled() and task.done():
            task.result()
    started = {worker.name: worker.started_at for worker in running}
    found = stages({who: sorted(at) for who, at in written.items()}, started, ends)
    origin = min(started.values())
    return {
        "stages": [
            asdict(stage) | {"cores": _cores([w.meter for w in running], stage.start, stage.end)}
            for stage in found
        ],
        "started": {who: round(at - origin, 2) for who, at in started.items()},
        "written": {
            who: [round(at - origin, 2) for at in sorted(moments) if at <= ends[-1]]
            for who, moments in sorted(written.items())
        },
    }


async def _meter(running: list[Process]) -> None:
    while True:
        for worker in running:
            worker.meter.read()
        await asyncio.sleep(_METER_SECONDS)


def _cores(meters: list[Meter], start: float, end: float) -> float:
    """What the workers took of the machine, on the mean."""
    used = sum(meter.cpu_seconds(start, end) for meter in meters if len(meter.readings) > 1)
    return used / (end - start)


async def _read(connection: Connection, topic: str, written: dict[str, list[float]]) -> None:
    """Note when each worker's verdicts were appended, Unix seconds, until cancelled."""
    async for record in read_topics(connection, [topic], from_beginning=True):
        who = orjson.loads(record.value or b"")["guard"]["revision"]
        written.setdefault(who, []).append(record.timestamp_ms / 1000)


async def _until_all_judge(running: list[Process], written: dict[str, list[float]]) -> None:
    started = time.monotonic()
    while not all(worker.name in written for worker in running):
        for worker in running:
            worker.require_running()
        if time.monotonic() - started > _PATIENCE_SECONDS:
            late = [worker.name for worker in running if worker.name not in written]
            raise ProcessFailed(
                f"{', '.join(late)} judged nothing; see the logs in the folder of {running[0].log}."
            )
        await asyncio.sleep(_METER_SECONDS)
