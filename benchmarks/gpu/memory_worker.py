"""The worker's pipeline between topics in memory: what is measured where there is no Kafka."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from typing_extensions import override

from worker.adapters.clock import SystemClock
from worker.adapters.memory import MemoryBus, MemoryPublisher, MemorySource
from worker.delivery.at_least_once import AtLeastOnce
from worker.domain.events import Exchange
from worker.domain.outcomes import Destinations
from worker.domain.records import Record
from worker.engine.circuit_breaker import BreakerPolicy
from worker.flow.admission import AdmissionPolicy
from worker.flow.batching import BatchPolicy
from worker.flow.judge import Judge
from worker.flow.partition_queues import QueueBounds
from worker.flow.pipeline import FlowPolicy, Pipeline
from worker.runtime.settings import Settings
from worker.telemetry import Telemetry

EVENTS, VERDICTS, DEAD = "events", "verdicts", "dead"
_PARTITIONS = 4
_LOOK_SECONDS = 0.005


class TimedBus(MemoryBus):
    """A bus that notes when each verdict was produced.

    Attributes:
        produced: the moment for each event id, of `time.perf_counter`.
    """

    def __init__(self) -> None:
        super().__init__(partitions=_PARTITIONS)
        self.produced: list[tuple[float, Record]] = []

    @override
    def append(self, topic: str, **given: Any) -> Record:
        record = super().append(topic, **given)
        if topic == VERDICTS:
            self.produced.append((time.perf_counter(), record))
        return record

    def send(self, number: int, value: bytes) -> None:
        """Put an event on the input, partition after partition."""
        key = str(number).encode()
        self.append(EVENTS, key=key, value=value, partition=number % _PARTITIONS)

    def verdicts(self) -> list[dict[str, Any]]:
        """All verdicts so far.

        Raises:
            SystemExit: an event became a dead letter.
        """
        if dead := self.topic(DEAD):
            headers = {name: value.decode() for name, value in dead[0].headers if value}
            raise SystemExit(f"{len(dead)} events became dead letters, the first: {headers}.")
        return [orjson.loads(record.value or b"") for record in self.topic(VERDICTS)]


@asynccontextmanager
async def running(bus: TimedBus, settings: Settings, judge: Judge, telemetry: Telemetry) -> Any:
    """A worker's pipeline on the bus, from its start to its graceful stop."""
    pipeline = _pipeline(bus, settings, judge, telemetry)
    task = asyncio.create_task(pipeline.run())
    await until(lambda: pipeline.held == _PARTITIONS, task)
    yield pipeline, task
    pipeline.stop()
    await task


async def until(condition: Callable[[], bool], task: "asyncio.Task[None]") -> None:
    """Wait until it holds; what ended the pipeline before that is raised."""
    while not condition():
        if task.done():
            await task
            raise SystemExit("the pipeline ended before all events had an outcome.")
        await asyncio.sleep(_LOOK_SECONDS)


def values_of(exchanges: Sequence[Exchange]) -> list[bytes]:
    """Events as they are on a topic."""
    return [
        orjson.dumps({"id": str(n), "prompt": one.prompt, "response": one.response})
        for n, one in enumerate(exchanges)
    ]


def arrivals(rate: float, count: int, seed: int) -> Iterator[float]:
    """Seconds from the start at which events of a Poisson process arrive."""
    draw, at = random.Random(seed), 0.0
    for _ in range(count):
        at += draw.expovariate(rate)
        yield at


async def backlog(
    values: Sequence[bytes], settings: Settings, judge: Judge, telemetry: Telemetry
) -> tuple[float, list[dict[str, Any]]]:
    """Judge events that wait already: the seconds it took, and the verdicts."""
    bus = TimedBus()
    async with running(bus, settings, judge, telemetry) as (pipeline, task):
        began = time.perf_counter()
        for number, value in enumerate(values):
            bus.send(number, value)
        await until(lambda: sum(pipeline.outcomes.values()) >= len(values), task)
        await until(lambda: len(bus.produced) >= len(values) or bool(bus.topic(DEAD)), task)
        seconds = time.perf_counter() - began
    return seconds, bus.verdicts()


async def stream(
    values: Sequence[bytes],
    due: Sequence[float],
    settings: Settings,
    judge: Judge,
    telemetry: Telemetry,
) -> list[float]:
    """Judge events that arrive at these times: seconds from each arrival to its verdict.

    An age counts from the time an event was due, so that a late sender hides nothing.
    """
    bus = TimedBus()
    async with running(bus, settings, judge, telemetry) as (pipeline, task):
        began = time.perf_counter()
        for number, (at, value) in enumerate(zip(due, values, strict=True)):
            await asyncio.sleep(max(0.0, began + at - time.perf_counter()))
            bus.send(number, value)
        await until(lambda: sum(pipeline.outcomes.values()) >= len(values), task)
        await until(lambda: len(bus.produced) >= len(values) or bool(bus.topic(DEAD)), task)
    bus.verdicts()
    return [
        when - began - due[int(orjson.loads(record.value or b"")["event_id"])]
        for when, record in bus.produced
    ]


def _pipeline(bus: TimedBus, settings: Settings, judge: Judge, telemetry: Telemetry) -> Pipeline:
    clock = SystemClock()
    source = MemorySource(bus, [EVENTS])
    delivery = AtLeastOnce(
        source=source, publisher=MemoryPublisher(bus), clock=clock, telemetry=telemetry
    )
    given, batch = settings.input, settings.batch
    policy = FlowPolicy(
        AdmissionPolicy(settings.in_flight_limit),
        QueueBounds(
            given.queued_records_per_partition,
            given.queued_bytes_per_partition,
            given.queued_bytes,
            given.unsettled_records_per_partition,
        ),
        BatchPolicy(batch.max_records, batch.max_tokens, batch.linger_seconds),
        BreakerPolicy(**settings.breaker.model_dump()),
        commit_interval_seconds=settings.delivery.commit_interval_seconds,
        drain_seconds=settings.shutdown.drain_seconds,
    )
    return Pipeline(
        source=source,
        delivery=delivery,
        judge=judge,
        policy=policy,
        destinations=Destinations(VERDICTS, DEAD, "gpu", delivery.max_bytes),
        telemetry=telemetry,
        clock=clock,
    )
