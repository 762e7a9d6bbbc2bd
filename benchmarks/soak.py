"""Many events, two workers, rolling restarts: is everything there, once, and memory flat?

Workers are processes, restarted in turn with SIGTERM; their resident memory is sampled every
second. At the end every input offset must have exactly one outcome (in `exactly_once`; at least
one otherwise), and every partition must be committed to its end.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from aiokafka import AIOKafkaConsumer, TopicPartition

from training.exchanges import compose
from worker.adapters.kafka.broker import Broker
from worker.adapters.kafka.connection import Connection, create_topics
from worker.adapters.kafka.publisher import KafkaPublisher
from worker.adapters.kafka.reader import committed_offsets
from worker.records import OutgoingRecord

_INPUT, _VERDICTS, _DEAD, _GROUP = "events", "verdicts", "dead", "soak"
_PARTITIONS = 8
_CHUNK = 2000


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


class _Fleet:
    """Worker processes, and how much memory each took when."""

    def __init__(self, bootstrap_servers: str, guarantee: str, log: Path) -> None:
        variables = {
            "KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
            "INPUT__TOPICS": f'["{_INPUT}"]',
            "INPUT__GROUP_ID": _GROUP,
            "OUTPUT__VERDICT_TOPIC": _VERDICTS,
            "OUTPUT__DEAD_LETTER_TOPIC": _DEAD,
            "DELIVERY__GUARANTEE": guarantee,
            "ENGINE__KIND": "simulated",
            "ENGINE__SIMULATED__TIME_TO_FIRST_TOKEN_SECONDS": "0.01",
            "ENGINE__SIMULATED__TIME_PER_OUTPUT_TOKEN_SECONDS": "0",
            "HEALTH__PORT": "0",
        }
        self._environment = os.environ | {f"GUARDSTREAM_{k}": v for k, v in variables.items()}
        self._log = log.open("ab")
        self._running: list[subprocess.Popen[bytes]] = []
        self.memory: list[tuple[int, float, int]] = []  # process, its age in seconds, bytes
        self._born: dict[int, float] = {}
        self.restarts = 0

    def start(self) -> None:
        command = [sys.executable, "-m", "worker", "run"]
        worker = subprocess.Popen(command, env=self._environment, stderr=self._log)  # noqa: S603
        self._running.append(worker)
        self._born[worker.pid] = time.monotonic()

    async def restart_oldest(self) -> None:
        oldest = self._running.pop(0)
        oldest.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(oldest.wait, 120)
        assert code == 0, f"a worker ended with {code}; see {self._log.name}"  # noqa: S101
        self.restarts += 1
        self.start()

    def sample(self) -> None:
        for worker in self._running:
            with contextlib.suppress(OSError, IndexError):
                pages = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1])
                age = time.monotonic() - self._born[worker.pid]
                self.memory.append((worker.pid, age, pages * os.sysconf("SC_PAGE_SIZE")))

    def stop(self) -> None:
        for worker in self._running:
            worker.send_signal(signal.SIGTERM)
        for worker in self._running:
            worker.wait(120)

    def kill(self) -> None:
        for worker in self._running:
            worker.kill()


async def _soak(events: int, guarantee: str, restart_seconds: float) -> dict[str, Any]:
    log = Path(tempfile.mkdtemp(prefix="guardstream-soak-")) / "workers.log"
    async with Broker(heap_mebibytes=768) as broker:
        connection = Connection(broker.bootstrap_servers)
        await create_topics(connection, [_INPUT, _VERDICTS, _DEAD], partitions=_PARTITIONS)
        fleet = _Fleet(broker.bootstrap_servers, guarantee, log)
        producing = asyncio.create_task(_produce(connection, events))
        started = time.monotonic()
        try:
            for _ in range(2):
                fleet.start()
            restarted = time.monotonic()
            while not await _settled(connection, producing):
                fleet.sample()
                await asyncio.sleep(1.0)
                if time.monotonic() - restarted > restart_seconds:
                    await fleet.restart_oldest()
                    restarted = time.monotonic()
            seconds = time.monotonic() - started
            fleet.stop()
        finally:
            fleet.kill()
        await producing
        counts = await _count(connection)
        offsets = await committed_offsets(connection, _INPUT, _GROUP)
    return {
        "events": events,
        "guarantee": guarantee,
        "seconds": round(seconds, 1),
        "events_per_second": round(events / seconds),
        "restarts": fleet.restarts,
        "lost": sum(times == 0 for held in counts.values() for times in held),
        "repeated": sum(times - 1 for held in counts.values() for times in held if times > 1),
        "uncommitted": sum(end - (committed or 0) for _, committed, end in offsets),
        "memory": _memory(fleet.memory),
    }


def _memory(samples: list[tuple[int, float, int]]) -> dict[str, float]:
    """Resident memory in MiB: of workers 20 s old, of the oldest at each's end, and the most."""
    mib = 1 << 20
    last = {pid: size for pid, _, size in samples}
    young = {pid: size for pid, age, size in reversed(samples) if age >= 20}
    grown = [last[pid] - size for pid, size in young.items()]
    return {
        "at_20_seconds_mib": round(max(young.values(), default=0) / mib),
        "most_mib": round(max(size for *_, size in samples) / mib),
        "most_growth_after_20_seconds_mib": round(max(grown, default=0) / mib),
    }


async def _produce(connection: Connection, events: int) -> None:
    values = [
        orjson.dumps({"prompt": e.prompt, "response": e.response})
        for e in compose("held_out", 5000, 5)
    ]
    publisher = KafkaPublisher(connection, topics=[_INPUT])
    await publisher.start()
    for start in range(0, events, _CHUNK):
        numbers = range(start, min(start + _CHUNK, events))
        records = [OutgoingRecord(_INPUT, b"%d" % n, values[n % len(values)], ()) for n in numbers]
        await publisher.publish_all(records)
    await publisher.stop()


async def _settled(connection: Connection, producing: asyncio.Task[None]) -> bool:
    if not producing.done():
        return False
    offsets = await committed_offsets(connection, _INPUT, _GROUP)
    return all(committed == end for _, committed, end in offsets)


async def _count(connection: Connection) -> dict[int, bytearray]:
    """How often each input offset has an outcome, by partition."""
    ends = {p.number: end for p, _, end in await committed_offsets(connection, _INPUT, _GROUP)}
    counts = {number: bytearray(end) for number, end in ends.items()}
    consumer = AIOKafkaConsumer(
        **connection.arguments(), auto_offset_reset="earliest", isolation_level="read_committed"
    )
    theirs = [TopicPartition(t, n) for t in (_VERDICTS, _DEAD) for n in range(_PARTITIONS)]
    consumer.assign(theirs)
    await consumer.start()
    try:
        until = await consumer.end_offsets(theirs)
        while any([await consumer.position(p) < until[p] for p in theirs]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    if record.topic == _VERDICTS:
                        source = orjson.loads(record.value)["source"]
                        counts[source["partition"]][source["offset"]] += 1
                    else:
                        said = dict(record.headers)
                        number = int(said["__dlq.errors.partition"])
                        counts[number][int(said["__dlq.errors.offset"])] += 1
    finally:
        await consumer.stop()
    return counts


if __name__ == "__main__":
    typer.run(main)
