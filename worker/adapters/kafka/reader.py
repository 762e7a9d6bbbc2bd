"""Reads topics without a group: for people who look, not for the worker."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from worker.adapters.kafka.connection import Connection, require_topics
from worker.records import Partition, Record


async def read_topics(
    connection: Connection, topics: Sequence[str], *, from_beginning: bool
) -> AsyncGenerator[Record, None]:
    """Every record of the topics, on and on."""
    known = await require_topics(connection, topics)
    consumer = AIOKafkaConsumer(
        **connection.arguments(),
        auto_offset_reset="earliest" if from_beginning else "latest",
        isolation_level="read_committed",
        fetch_max_wait_ms=50,
    )
    consumer.assign(
        [TopicPartition(t.name, n) for t in known.values() for n in range(t.partitions)]
    )
    with connection.connecting():
        await consumer.start()
    try:
        async for r in consumer:
            where = Partition(r.topic, r.partition)
            headers = tuple(r.headers)
            yield Record(where, 0, r.offset, r.key, r.value, headers, r.timestamp, time.time())
    finally:
        await asyncio.wait_for(consumer.stop(), 10)


async def committed_offsets(
    connection: Connection, topic: str, group_id: str
) -> list[tuple[Partition, int | None, int]]:
    """Of each partition of a topic: the group's committed offset and the end."""
    known = await require_topics(connection, [topic])
    consumer = AIOKafkaConsumer(**connection.arguments(), group_id=group_id)
    with connection.connecting():
        await consumer.start()
    try:
        theirs = [TopicPartition(topic, n) for n in range(known[topic].partitions)]
        ends = await consumer.end_offsets(theirs)
        return [
            (Partition(topic, p.partition), await consumer.committed(p), ends[p]) for p in theirs
        ]
    finally:
        await asyncio.wait_for(consumer.stop(), 10)
