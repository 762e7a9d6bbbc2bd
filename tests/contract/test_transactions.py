"""What exactly-once relies on of transactions, asked of the bus in memory and of Kafka alike."""

import asyncio
import uuid

import pytest

from worker.adapters.kafka.connection import create_topics
from worker.adapters.kafka.reader import committed_offsets, read_topics
from worker.adapters.kafka.transactions import KafkaTransactions
from worker.adapters.memory import MemoryBus, MemoryTransactions
from worker.domain.errors import Retriable
from worker.domain.records import CommittedOffset, OutgoingRecord, Partition


class MemoryWorld:
    def __init__(self):
        self.topic = "contract"
        self.bus = MemoryBus()

    def transactions(self):
        return MemoryTransactions(self.bus)

    async def visible(self, count):
        assert len(self.bus.topic(self.topic)) == count
        return [record.value for record in self.bus.topic(self.topic)]

    async def committed(self):
        return self.bus.committed.get(Partition(self.topic, 0))


class KafkaWorld:
    def __init__(self, connection):
        self.topic = f"contract-{uuid.uuid4().hex[:8]}"
        self.connection = connection

    def transactions(self):
        return KafkaTransactions(
            self.connection, topics=[self.topic], group_id=self.topic, timeout_seconds=15
        )

    async def visible(self, count):
        reader = read_topics(self.connection, [self.topic], from_beginning=True)
        async with asyncio.timeout(60):
            found = [(await anext(reader)).value for _ in range(count)]
        await reader.aclose()
        return found

    async def committed(self):
        ((_, offset, _),) = await committed_offsets(self.connection, self.topic, self.topic)
        return offset


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
async def world(request):
    if request.param == "memory":
        return MemoryWorld()
    found = KafkaWorld(request.getfixturevalue("connection"))
    await create_topics(found.connection, [found.topic], partitions=1)
    return found


def records(world, *values):
    return [OutgoingRecord(world.topic, None, value, ()) for value in values]


async def test_records_and_offsets_appear_together(world):
    transactions, partition = world.transactions(), Partition(world.topic, 0)
    await transactions.start()
    transactor = await transactions.open(f"{world.topic}.0")
    await transactor.commit(records(world, b"a", b"b"), {partition: CommittedOffset(7)})
    await transactor.commit([], {partition: CommittedOffset(9)})
    await transactor.close()
    assert await world.visible(2) == [b"a", b"b"]
    assert await world.committed() == 9


async def test_whoever_opens_an_id_fences_who_had_it(world):
    transactions, partition = world.transactions(), Partition(world.topic, 0)
    await transactions.start()
    former = await transactions.open(f"{world.topic}.0")
    await former.commit(records(world, b"a"), {partition: CommittedOffset(1)})
    latter = await transactions.open(f"{world.topic}.0")
    with pytest.raises(Retriable, match="Another worker took over"):
        await former.commit(records(world, b"zombie"), {partition: CommittedOffset(5)})
    await latter.commit(records(world, b"b"), {partition: CommittedOffset(2)})
    await former.close()
    await latter.close()
    assert await world.visible(2) == [b"a", b"b"]
    assert await world.committed() == 2


async def test_other_ids_are_left_alone(world):
    transactions, partition = world.transactions(), Partition(world.topic, 0)
    await transactions.start()
    mine = await transactions.open(f"{world.topic}.0")
    other = await transactions.open(f"{world.topic}.1")
    await mine.commit(records(world, b"a"), {partition: CommittedOffset(1)})
    await other.close()
    await mine.close()
    assert await world.visible(1) == [b"a"]


@pytest.mark.integration
async def test_a_batch_that_failed_is_passed_over_by_no_commit(connection):
    """aiokafka commits a transaction whose batch failed, if nobody awaited its delivery, and
    after an abort its next commit covers what came before."""
    world = KafkaWorld(connection)
    await create_topics(connection, [world.topic], partitions=1, max_message_bytes="1000")
    transactions, partition = world.transactions(), Partition(world.topic, 0)
    await transactions.start()
    former = await transactions.open(f"{world.topic}.0")
    # the client lets it go, the broker does not take it
    with pytest.raises(Retriable, match="MESSAGE_SIZE_TOO_LARGE"):
        await former.commit(
            records(world, b"a", b"x" * 5000, b"b"), {partition: CommittedOffset(3)}
        )
    await former.close()
    assert await world.committed() is None
    latter = await transactions.open(f"{world.topic}.0")
    await latter.commit(records(world, b"c"), {partition: CommittedOffset(1)})
    await latter.close()
    assert await world.visible(1) == [b"c"]
    assert await world.committed() == 1
