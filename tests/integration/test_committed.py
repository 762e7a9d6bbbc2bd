"""What a group has committed, asked of a real coordinator."""

import asyncio
import uuid

import pytest
from aiokafka import AIOKafkaProducer, OffsetAndMetadata, TopicPartition

from worker.adapters.kafka.committed import fetch_committed
from worker.adapters.kafka.connection import create_topics
from worker.adapters.kafka.consumer import build_consumer, stop_consumer
from worker.adapters.kafka.reader import committed_offsets
from worker.domain.errors import Retriable
from worker.domain.records import CommittedOffset, Partition

pytestmark = pytest.mark.integration


@pytest.fixture
async def where(connection):
    topic = f"committed-{uuid.uuid4().hex[:8]}"
    await create_topics(connection, [topic], partitions=2)
    return Partition(topic, 0)


@pytest.fixture
async def consumer(connection, where):
    consumer = build_consumer(
        **connection.arguments(), group_id=where.topic, enable_auto_commit=False
    )
    consumer.assign([TopicPartition(*where)])
    await consumer.start()
    yield consumer
    await stop_consumer(consumer)


@pytest.fixture
async def producer(connection, where):
    producer = AIOKafkaProducer(**connection.arguments(), transactional_id=where.topic)
    await producer.start()
    yield producer
    await producer.stop()


async def test_offset_and_note_come_back(consumer, where):
    other = Partition(where.topic, 1)
    await consumer.commit({TopicPartition(*where): OffsetAndMetadata(7, "a note")})
    found = await fetch_committed(consumer, where.topic, [where, other], seconds=5)
    assert found == {where: CommittedOffset(7, "a note"), other: None}


async def test_an_offset_is_not_believed_while_a_transaction_may_change_it(
    consumer, producer, connection, where
):
    await consumer.commit({TopicPartition(*where): 7})
    async with producer.transaction():
        await producer.send_offsets_to_transaction({TopicPartition(*where): 9}, where.topic)
        with pytest.raises(Retriable, match="UNSTABLE_OFFSET_COMMIT"):
            await fetch_committed(consumer, where.topic, [where], seconds=0.5)
        # those who only look need not wait
        assert (await committed_offsets(connection, where.topic, where.topic))[0][:2] == (where, 7)
        waiting = asyncio.create_task(fetch_committed(consumer, where.topic, [where], seconds=10))
        await asyncio.sleep(0.3)
        assert not waiting.done()
    assert await waiting == {where: CommittedOffset(9, "")}
