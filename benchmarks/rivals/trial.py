"""Events into one side's topic at their moments, and every verdict on them."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.processes import ProcessFailed
from benchmarks.rivals.ages import Passed, figures_of
from benchmarks.rivals.sides import Side, Topics
from benchmarks.rivals.workload import Arrival
from worker.adapters.kafka.connection import Connection, create_topics

_PARTITIONS = 4
_POLL_MS = 100
# a little ahead, so that the first arrival is on time too
_AHEAD_SECONDS = 0.1


class _Outcome(NamedTuple):
    appended_at: float
    value: bytes


class Lane:
    """One side's topics, fed and watched by one trial after the other."""

    def __init__(
        self, side: Side, producer: AIOKafkaProducer, at_once: AIOKafkaProducer, outcomes: Any
    ) -> None:
        self._side = side
        self._producer = producer
        self._at_once = at_once
        self._outcomes = outcomes
        self._trials = 0

    async def run(
        self, arrivals: Sequence[Arrival], *, patience_seconds: float, at_once: bool = False
    ) -> dict[str, Any]:
        """One trial's figures, the CPU of the side's processes among them.

        `at_once` puts them in one transaction, so that all are there when the first is seen.

        Raises:
            ProcessFailed: a process ended, or not every event came through as a verdict.
        """
        self._trials += 1
        used = self._side.cpu_seconds()
        if at_once:
            arrived = await self._feed_at_once(arrivals)
        else:
            arrived = await self._feed(arrivals)
        found = await self._collect(len(arrivals), patience_seconds)
        used = self._side.cpu_seconds() - used
        passed = [
            Passed(
                arrival.kind,
                at,
                found[self._key(number)].appended_at,
                orjson.loads(found[self._key(number)].value)["usage"]["completion_tokens"],
            )
            for number, (arrival, at) in enumerate(zip(arrivals, arrived, strict=True))
        ]
        return figures_of(passed) | {"cpu_ms_per_event": round(used / len(arrivals) * 1000, 2)}

    def _key(self, number: int) -> bytes:
        return b"%d-%d" % (self._trials, number)

    async def _feed(self, arrivals: Sequence[Arrival]) -> list[float]:
        """Each at its moment, whatever became of those before; its moment is its timestamp."""
        origin = time.time() + _AHEAD_SECONDS
        sent = []
        for number, arrival in enumerate(arrivals):
            await asyncio.sleep(max(origin + arrival.at - time.time(), 0.0))
            sent.append(await self._send(self._producer, number, arrival, origin + arrival.at))
        await asyncio.gather(*sent)
        return [origin + arrival.at for arrival in arrivals]

    async def _feed_at_once(self, arrivals: Sequence[Arrival]) -> list[float]:
        async with self._at_once.transaction():
            sent = [
                await self._send(self._at_once, number, arrival, time.time())
                for number, arrival in enumerate(arrivals)
            ]
            await asyncio.gather(*sent)
            began = time.time()
        return [began] * len(arrivals)

    async def _send(
        self, producer: AIOKafkaProducer, number: int, arrival: Arrival, at: float
    ) -> "asyncio.Future[Any]":
        return await producer.send(
            self._side.topics.events,
            arrival.value,
            key=self._key(number),
            partition=number % _PARTITIONS,
            timestamp_ms=int(at * 1000),
        )

    async def _collect(self, count: int, patience_seconds: float) -> dict[bytes, _Outcome]:
        """The first outcome under each key of this trial."""
        found: dict[bytes, _Outcome] = {}
        deadline = time.monotonic() + patience_seconds
        mine = b"%d-" % self._trials
        while len(found) < count:
            for records in (await self._outcomes.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    if record.topic == self._side.topics.dead:
                        raise ProcessFailed("An event became a dead letter; this is no measure.")
                    if record.key.startswith(mine):
                        outcome = _Outcome(record.timestamp / 1000, record.value)
                        found.setdefault(record.key, outcome)
            for process in self._side.processes:
                process.require_running()
            if time.monotonic() > deadline:
                log = self._side.processes[-1].log
                raise ProcessFailed(f"{len(found)} of {count} events came through; see {log}.")
        return found


async def prepare_topics(connection: Connection, topics: Topics) -> None:
    """The topics of a side; those for outcomes use LogAppendTime."""
    await create_topics(connection, [topics.events], partitions=_PARTITIONS)
    await create_topics(
        connection,
        [topics.verdicts, topics.dead],
        partitions=_PARTITIONS,
        message_timestamp_type="LogAppendTime",
    )


@asynccontextmanager
async def open_lane(connection: Connection, side: Side) -> AsyncIterator[Lane]:
    """A lane to the side; its topics exist."""
    arguments = connection.arguments()
    producer = AIOKafkaProducer(**arguments)
    at_once = AIOKafkaProducer(**arguments, transactional_id=f"backlog-{side.topics.events}")
    outcomes = AIOKafkaConsumer(**arguments, auto_offset_reset="earliest", fetch_max_wait_ms=100)
    topics = (side.topics.verdicts, side.topics.dead)
    outcomes.assign([TopicPartition(topic, n) for topic in topics for n in range(_PARTITIONS)])
    clients = (producer, at_once, outcomes)
    try:
        for client in clients:
            await client.start()
        yield Lane(side, producer, at_once, outcomes)
    finally:
        for client in clients:
            await client.stop()
