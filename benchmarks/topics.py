"""Topics of a benchmark: filled with chat events, waited for, and counted."""

import asyncio
from collections.abc import Iterable
from itertools import islice

import orjson

from training.exchanges import compose
from worker.adapters.kafka.connection import Connection, create_topics
from worker.adapters.kafka.publisher import KafkaPublisher
from worker.adapters.kafka.reader import committed_offsets, held_offsets, read_ranges
from worker.domain.dead_letters import ORIGIN_OFFSET, ORIGIN_PARTITION
from worker.domain.records import OutgoingRecord

_CHUNK = 2000
_POLL_SECONDS = 0.5


def event_values(count: int, seed: int = 11) -> list[bytes]:
    """Events numbered from 0, as `training.exchanges` composes them: of half a KiB and less."""
    return [
        orjson.dumps({"id": str(n), "prompt": e.prompt, "response": e.response})
        for n, e in enumerate(compose("held_out", count, seed))
    ]


async def fill(
    connection: Connection, topic: str, values: Iterable[bytes], *, partitions: int
) -> None:
    """Make the topic if it is not there, and give its partitions the values in turn."""
    await create_topics(connection, [topic], partitions=partitions)
    publisher = KafkaPublisher(connection, topics=[topic])
    await publisher.start()
    numbered = enumerate(values)
    while chunk := [
        OutgoingRecord(topic, b"%d" % n, value, (), n % partitions)
        for n, value in islice(numbered, _CHUNK)
    ]:
        await publisher.publish_all(chunk)
    await publisher.stop()


async def uncommitted(connection: Connection, topic: str, group_id: str) -> int:
    """How many offsets of the topic the group has not committed."""
    offsets = await committed_offsets(connection, topic, group_id)
    return sum(end - (committed or 0) for _, committed, end in offsets)


async def until_committed(connection: Connection, topic: str, group_id: str) -> None:
    """Wait until the group has committed all that the topic holds."""
    while await uncommitted(connection, topic, group_id):  # noqa: ASYNC110 - Kafka is asked
        await asyncio.sleep(_POLL_SECONDS)


async def count_outcomes(
    connection: Connection, topic: str, *, verdicts: str, dead_letters: str
) -> dict[int, bytearray]:
    """How often each offset of the topic has an outcome, by partition; reads committed."""
    ends = {p.number: held.stop for p, held in (await held_offsets(connection, topic)).items()}
    counts = {number: bytearray(end) for number, end in ends.items()}
    async for record in read_ranges(connection, await held_offsets(connection, verdicts)):
        source = orjson.loads(record.value or b"")["source"]
        counts[source["partition"]][source["offset"]] += 1
    async for record in read_ranges(connection, await held_offsets(connection, dead_letters)):
        said = dict(record.headers)
        counts[int(said[ORIGIN_PARTITION])][int(said[ORIGIN_OFFSET])] += 1
    return counts
