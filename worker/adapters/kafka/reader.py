"""Reads topics without a group: for people who look, not for the worker."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from worker.adapters.kafka.committed import fetch_committed
from worker.adapters.kafka.connection import Connection, require_topics
from worker.adapters.kafka.consumer import build_consumer, stop_consumer
from worker.adapters.kafka.lenient_records import unreadable
from worker.domain.errors import BusUnavailable, Retriable
from worker.domain.records import Partition, Record

_POLL_MS = 200
_FETCH_SECONDS = 30.0


async def read_topics(
    connection: Connection, topics: Sequence[str], *, from_beginning: bool
) -> AsyncGenerator[Record, None]:
    """Every record of the topics, on and on."""
    known = await require_topics(connection, topics)
    partitions = [TopicPartition(t.name, n) for t in known.values() for n in range(t.partitions)]
    reset = "earliest" if from_beginning else "latest"
    async with _consumer(connection, partitions, auto_offset_reset=reset) as consumer:
        async for r in consumer:
            yield _record(r)


async def held_offsets(
    connection: Connection, topic: str, *, since_ms: int | None = None
) -> dict[Partition, range]:
    """What each partition of a topic holds now, from the first record at or after `since_ms`."""
    known = await require_topics(connection, [topic])
    theirs = [TopicPartition(topic, n) for n in range(known[topic].partitions)]
    async with _consumer(connection) as consumer, connection.connecting():
        starts = await consumer.beginning_offsets(theirs)
        ends = await consumer.end_offsets(theirs)
        if since_ms is not None:
            found = await consumer.offsets_for_times(dict.fromkeys(theirs, since_ms))
            starts = {p: found[p].offset if found[p] else ends[p] for p in theirs}
    return {Partition(topic, p.partition): range(starts[p], ends[p]) for p in theirs}


async def read_ranges(
    connection: Connection,
    ranges: Mapping[Partition, range],
    *,
    passed: Callable[[int], None] = lambda _: None,
) -> AsyncGenerator[Record, None]:
    """The records at these offsets, partition by partition; what is gone is passed over.

    `passed` is called with how many more offsets were read, those without a record included.

    Raises:
        BusUnavailable: nothing came for half a minute.
    """
    async with _consumer(connection) as consumer:
        for where, held in ranges.items():
            partition, position = TopicPartition(*where), held.start
            consumer.assign([partition])
            consumer.seek(partition, position)
            moved_at = time.monotonic()
            while position < held.stop:
                async with connection.connecting():
                    batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=500)
                for r in chain.from_iterable(batches.values()):
                    if r.offset < held.stop:
                        yield _record(r)
                # not the last record's offset: a transaction ends in one without a record
                reached = min(await consumer.position(partition), held.stop)
                if reached > position:
                    passed(reached - position)
                    position, moved_at = reached, time.monotonic()
                elif time.monotonic() - moved_at > _FETCH_SECONDS:
                    raise BusUnavailable(
                        f"Kafka at {connection.bootstrap_servers} has sent nothing of {where} for"
                        f" {_FETCH_SECONDS:.0f} s; look at the partition's leader."
                    )


async def newest_records(
    connection: Connection, topics: Sequence[str], count: int
) -> AsyncGenerator[Record, None]:
    """About that many of the newest records of these topics, as many of each partition."""
    ends: dict[Partition, range] = {}
    for topic in topics:
        ends |= await held_offsets(connection, topic)
    share = -(-count // max(len(ends), 1))
    newest = {p: range(max(held.start, held.stop - share), held.stop) for p, held in ends.items()}
    async with aclosing(read_ranges(connection, newest)) as records:
        async for record in records:
            yield record


async def committed_offsets(
    connection: Connection, topic: str, group_id: str
) -> list[tuple[Partition, int | None, int]]:
    """Of each partition of a topic: the group's committed offset and the end.

    Raises:
        BusUnavailable: the brokers, the topic or the rights are not there.
    """
    known = await require_topics(connection, [topic])
    partitions = [Partition(topic, n) for n in range(known[topic].partitions)]
    async with _consumer(
        connection, group_id=group_id, isolation_level="read_uncommitted"
    ) as asked:
        ends = await asked.end_offsets([TopicPartition(*p) for p in partitions])
        try:
            found = await fetch_committed(
                asked, group_id, partitions, seconds=_FETCH_SECONDS, stable=False
            )
        except Retriable as error:
            raise BusUnavailable(
                f"Kafka at {connection.bootstrap_servers} does not report what group {group_id}"
                f" has committed. {error}"
            ) from error
    offsets = {p: None if (c := found[p]) is None else c.offset for p in partitions}
    return [(p, offsets[p], ends[TopicPartition(*p)]) for p in partitions]


@asynccontextmanager
async def _consumer(
    connection: Connection, partitions: Sequence[TopicPartition] = (), **arguments: Any
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer that is stopped in the end, even if it could not start."""
    usual = {
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "fetch_max_wait_ms": 50,
    }
    consumer = build_consumer(**connection.arguments(), **(usual | arguments))
    if partitions:
        consumer.assign(partitions)
    try:
        async with connection.connecting():
            await consumer.start()
        yield consumer
    finally:
        await stop_consumer(consumer)


def _record(theirs: Any) -> Record:
    where = Partition(theirs.topic, theirs.partition)
    headers = tuple(theirs.headers)
    return Record(
        where,
        epoch=0,
        offset=theirs.offset,
        key=theirs.key,
        value=theirs.value,
        headers=headers,
        timestamp_ms=theirs.timestamp,
        received_at=time.time(),
        unreadable=unreadable(theirs),
    )
