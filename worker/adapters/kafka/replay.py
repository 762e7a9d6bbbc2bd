"""The group of a replay: where it starts, and how far it has come."""

from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from worker.adapters.kafka.committed import fetch_committed
from worker.adapters.kafka.connection import Connection
from worker.adapters.kafka.consumer import build_consumer, stop_consumer
from worker.adapters.kafka.reader import committed_offsets, held_offsets
from worker.domain.errors import BusUnavailable, Retriable
from worker.domain.records import Partition

_ANSWER_SECONDS = 30.0


async def ranges_since(
    connection: Connection, topics: Sequence[str], since_ms: int | None
) -> dict[Partition, range]:
    """The offsets of the records at or after a time (Unix milliseconds) until now, by partition."""
    found: dict[Partition, range] = {}
    for topic in topics:
        found |= await held_offsets(connection, topic, since_ms=since_ms)
    return found


async def begin_group(
    connection: Connection, group_id: str, starts: Mapping[Partition, int]
) -> dict[Partition, int]:
    """Commit these offsets where the group has committed none; where it starts or continues.

    Raises:
        BusUnavailable: the group's offsets cannot be read or written.
    """
    consumer = build_consumer(**connection.arguments(), group_id=group_id, enable_auto_commit=False)
    try:
        async with connection.connecting():
            await consumer.start()
        return await _begin(consumer, connection, group_id, starts)
    finally:
        await stop_consumer(consumer)


async def _begin(
    consumer: AIOKafkaConsumer,
    connection: Connection,
    group_id: str,
    starts: Mapping[Partition, int],
) -> dict[Partition, int]:
    consumer.assign([TopicPartition(*partition) for partition in starts])
    where = f"Kafka at {connection.bootstrap_servers}"
    try:
        committed = await fetch_committed(consumer, group_id, starts, seconds=_ANSWER_SECONDS)
    except Retriable as error:
        raise BusUnavailable(
            f"{where} does not report what group {group_id} has committed. {error}"
        ) from error
    new = {partition: starts[partition] for partition, held in committed.items() if held is None}
    if new:
        try:
            await consumer.commit(
                {TopicPartition(*p): OffsetAndMetadata(offset, "") for p, offset in new.items()}
            )
        except KafkaError as error:
            raise BusUnavailable(
                f"{where} does not let group {group_id} begin ({type(error).__name__}); is another"
                " worker of this group running? Then start this one again."
            ) from error
    return {p: new[p] if held is None else held.offset for p, held in committed.items()}


async def left_to_read(
    connection: Connection, group_id: str, ends: Mapping[Partition, int]
) -> dict[Partition, int]:
    """By partition, how many offsets the group has not committed yet, before these ends.

    Raises:
        BusUnavailable: the group's offsets cannot be read.
    """
    left: dict[Partition, int] = {}
    for topic in {partition.topic for partition in ends}:
        for partition, committed, _ in await committed_offsets(connection, topic, group_id):
            if partition in ends:
                left[partition] = max(ends[partition] - (committed or 0), 0)
    return left
