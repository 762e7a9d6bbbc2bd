"""Reading without a group leaves nothing behind."""

import uuid

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError

from worker.adapters.kafka.connection import create_topics
from worker.adapters.kafka.reader import committed_offsets, held_offsets, read_topics
from worker.domain.errors import BusUnavailable

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "read",
    [
        lambda connection, topic: anext(read_topics(connection, [topic], from_beginning=True)),
        lambda connection, topic: committed_offsets(connection, topic, "g"),
        held_offsets,
    ],
    ids=["read_topics", "committed_offsets", "held_offsets"],
)
async def test_a_consumer_that_cannot_start_is_stopped(connection, monkeypatch, read):
    topic = f"read-{uuid.uuid4().hex[:8]}"
    await create_topics(connection, [topic], partitions=1)
    stopped = []

    async def start(_):
        raise KafkaConnectionError

    async def stop(consumer, stopping=AIOKafkaConsumer.stop):
        stopped.append(consumer)
        await stopping(consumer)

    monkeypatch.setattr(AIOKafkaConsumer, "start", start)
    monkeypatch.setattr(AIOKafkaConsumer, "stop", stop)
    with pytest.raises(BusUnavailable, match="cannot be reached"):
        await read(connection, topic)
    assert len(stopped) == 1
