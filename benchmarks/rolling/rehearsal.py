"""Two workers as processes, replaced one by one under a steady load, on a real Kafka."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson

from tests.chaos import evidence
from tests.chaos.cluster import MAX_RECORD_BYTES
from tests.chaos.feed import Feed
from tests.chaos.oracle import Found, Given, Guarantee, Violation, violations
from tests.chaos.workers import WorkerProcess, worker_command
from worker.adapters.kafka.connection import Connection, create_topics
from worker.adapters.kafka.reader import held_offsets, read_ranges
from worker.demo.kafka.broker import Broker, free_ports
from worker.operator.top.scrapes import Unreadable, read_metrics
from worker.telemetry import names

_EVENTS, _VERDICTS, _DEAD, _GROUP = "chat-events", "verdicts", "dead-letters", "rehearsal"
_HOST = "127.0.0.1"
_SAMPLE_SECONDS = 0.5
_READY_SECONDS = 60.0
_SETTLE_SECONDS = 120.0


@dataclass(frozen=True)
class Script:
    """What is rehearsed.

    Attributes:
        rate: records a second.
        steady_seconds: of load before, between and after the replacements.
        load_seconds: between a worker's end and its successor's start, for what a model takes.
        places: prompts at once in a worker's engine; with `token_seconds` they are its capacity.
    """

    guarantee: Guarantee = "exactly_once"
    rate: float = 140.0
    steady_seconds: float = 20.0
    load_seconds: float = 20.0
    partitions: int = 8
    places: int = 112
    token_seconds: float = 0.008


@dataclass(frozen=True, slots=True)
class Stay:
    """One process's life, in Unix seconds; None for what did not happen in the rehearsal."""

    worker: str
    version: str
    started_at: float
    ready_at: float
    asked_at: float | None = None
    ended_at: float | None = None


@dataclass(slots=True)
class Story:
    """What happened.

    Attributes:
        told: the lag by the workers' own metrics, and when.
        versions: which version judged a record, by partition and offset.
        broken: promises that were not kept.
    """

    script: Script
    fed: tuple[float, float] = (0.0, 0.0)
    stays: list[Stay] = field(default_factory=list)
    told: list[tuple[float, float]] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    versions: dict[tuple[int, int], str] = field(default_factory=dict)
    broken: list[Violation] = field(default_factory=list)


async def rehearse(script: Script, folder: Path, tell: Callable[[str], None]) -> Story:
    """Do it; the workers' logs are left in the folder.

    Raises:
        RuntimeError: a worker did not start or end as it should.
    """
    story = Story(script)
    sizes = {"message.max.bytes": str(MAX_RECORD_BYTES)}
    async with Broker(heap_mebibytes=384, properties=sizes) as broker:
        connection = Connection(broker.bootstrap_servers)
        await create_topics(connection, [_EVENTS], partitions=script.partitions)
        await create_topics(connection, [_VERDICTS, _DEAD], partitions=4)
        ports = free_ports(2)
        workers = [
            _worker(f"worker-{n}", port, script, connection, folder)
            for n, port in enumerate(ports, start=1)
        ]
        tell(f"Metrics are at {', '.join(f'{_HOST}:{port}' for port in ports)}.")
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session:
            sampling = asyncio.create_task(_sample(session, ports, story))
            try:
                feed = await _perform(script, story, workers, ports, session, connection, tell)
                tell("Waiting until everything is judged.")
                lag = await evidence.settled(connection, _EVENTS, _GROUP, seconds=_SETTLE_SECONDS)
                for worker in workers:
                    if (wrong := await worker.stop()) is not None:
                        raise RuntimeError(f"{wrong.worker} ended with {wrong.code}.")
            finally:
                sampling.cancel()
                for worker in workers:
                    await worker.kill()
        await _count(story, connection, feed)
    story.broken += [Violation("stuck", f"partition {n} by {left}", 0.0) for n, left in lag.items()]
    return story


async def _perform(
    script: Script,
    story: Story,
    workers: list[WorkerProcess],
    ports: list[int],
    session: aiohttp.ClientSession,
    connection: Connection,
    tell: Callable[[str], None],
) -> Feed:
    """Load, and the replacements under it."""
    running = [
        await _start(worker, "old", port, session)
        for worker, port in zip(workers, ports, strict=True)
    ]
    feed = Feed(connection, _EVENTS, rate=script.rate, seed=7)
    feeding = asyncio.create_task(feed.run())
    began = time.time()
    try:
        await asyncio.sleep(script.steady_seconds)
        for n, (worker, port) in enumerate(zip(workers, ports, strict=True)):
            tell(f"Replacing {worker.name}.")
            asked_at = time.time()
            if (wrong := await worker.stop()) is not None or worker.last_exit().code:
                raise RuntimeError(f"{worker.name} ended with {wrong or worker.last_exit()}.")
            old = running[n]
            story.stays.append(
                Stay(worker.name, "old", old.started_at, old.ready_at, asked_at, time.time())
            )
            await asyncio.sleep(script.load_seconds)
            running[n] = await _start(worker, "new", port, session)
            await asyncio.sleep(script.steady_seconds)
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        await feed.stop()
    story.fed = (began, time.time())
    story.stays += running
    return feed


async def _start(
    worker: WorkerProcess, version: str, port: int, session: aiohttp.ClientSession
) -> Stay:
    """Start a version of a worker and wait until it is ready."""
    started_at = time.time()
    # the guard's name in a verdict identifies the version that judged it
    worker.environment = {**worker.environment, "GUARDSTREAM_ENGINE__REVISION": version}
    worker.start("calm")
    while time.time() < started_at + _READY_SECONDS and worker.running:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(f"http://{_HOST}:{port}/readyz") as answer:
                if answer.status == 200:
                    return Stay(worker.name, version, started_at, time.time())
        await asyncio.sleep(0.1)
    raise RuntimeError(f"{worker.name} did not become ready; see {worker.log}.")


def _worker(
    name: str, port: int, script: Script, connection: Connection, folder: Path
) -> WorkerProcess:
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": connection.bootstrap_servers,
        "INPUT__TOPICS": orjson.dumps([_EVENTS]).decode(),
        "INPUT__GROUP_ID": _GROUP,
        "OUTPUT__VERDICT_TOPIC": _VERDICTS,
        "OUTPUT__DEAD_LETTER_TOPIC": _DEAD,
        "DELIVERY__GUARANTEE": script.guarantee,
        "ENGINE__KIND": "simulated",
        "ENGINE__MAX_NUM_SEQS": str(script.places),
        "ENGINE__SIMULATED__TIME_TO_FIRST_TOKEN_SECONDS": "0.1",
        "ENGINE__SIMULATED__TIME_PER_OUTPUT_TOKEN_SECONDS": str(script.token_seconds),
        "HEALTH__HOST": _HOST,
        "HEALTH__PORT": str(port),
    }
    environment = {f"GUARDSTREAM_{key}": value for key, value in settings.items()}
    return WorkerProcess(name, worker_command(), environment, folder / f"{name}.log")


async def _sample(session: aiohttp.ClientSession, ports: list[int], story: Story) -> None:
    """Read the lag off the workers' metrics until cancelled."""
    while True:
        lag = 0.0
        for port in ports:
            with suppress(aiohttp.ClientError, TimeoutError, Unreadable):
                async with session.get(f"http://{_HOST}:{port}/metrics") as answer:
                    snapshot = read_metrics(await answer.text(), time.monotonic())
                lag += snapshot.total(names.LAG_RECORDS) or 0.0
        story.told.append((time.time(), lag))
        await asyncio.sleep(_SAMPLE_SECONDS)


async def _count(story: Story, connection: Connection, feed: Feed) -> None:
    """Read what the topics hold, and hold it against what was promised."""
    story.given = await evidence.given(connection, _EVENTS)
    story.found = await evidence.verdicts(connection, _VERDICTS)
    story.found += await evidence.dead_letters(connection, _DEAD)
    story.broken += violations(
        story.given,
        story.found,
        guarantee=story.script.guarantee,
        acknowledged=feed.acknowledged,
    )
    async for record in read_ranges(connection, await held_offsets(connection, _VERDICTS)):
        verdict = orjson.loads(record.value or b"")
        source = verdict["source"]
        story.versions[source["partition"], source["offset"]] = verdict["guard"]["revision"]
