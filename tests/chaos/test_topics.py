"""What is done to topics by a fault, and that it is undone: on one cluster, without workers."""

import os

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    MessageSizeTooLargeError,
    NotEnoughReplicasAfterAppendError,
    NotEnoughReplicasError,
)

from tests.chaos import evidence
from tests.chaos.cluster import Cluster
from tests.chaos.feed import Feed
from tests.chaos.hung import COMMITTED, hang
from tests.chaos.refusals import NARROW, UNWRITABLE, accept, refuse

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def cluster():
    if "GUARDSTREAM_TEST_BOOTSTRAP_SERVERS" in os.environ:
        pytest.skip("these tests need three brokers of their own")
    with Cluster() as running:
        yield running


async def produce(cluster, topic, size):
    producer = AIOKafkaProducer(
        **cluster.connection.arguments(), acks="all", retry_backoff_ms=100, max_request_size=1 << 21
    )
    # few tries, or the client would go on until its own timeout
    producer._request_timeout_ms = 2000
    await producer.start()
    try:
        await producer.send_and_wait(topic, b"x" * size)
    finally:
        await producer.stop()


async def test_a_topic_refuses_large_records_until_it_accepts_them_again(cluster):
    await cluster.create("narrow", 1)
    await produce(cluster, "narrow", 4000)
    await refuse(cluster.connection, "narrow", NARROW)
    with pytest.raises(MessageSizeTooLargeError):
        await produce(cluster, "narrow", 4000)
    await produce(cluster, "narrow", 1000)
    await accept(cluster.connection, "narrow", NARROW)
    await produce(cluster, "narrow", 4000)


async def test_a_topic_refuses_everything_while_a_broker_is_down(cluster):
    await cluster.create("unwritable", 1)
    cluster.kill(3)
    try:
        await produce(cluster, "unwritable", 10)
        await refuse(cluster.connection, "unwritable", UNWRITABLE)
        with pytest.raises((NotEnoughReplicasError, NotEnoughReplicasAfterAppendError)):
            await produce(cluster, "unwritable", 10)
        await accept(cluster.connection, "unwritable", UNWRITABLE)
        await produce(cluster, "unwritable", 10)
    finally:
        cluster.restart(3)


async def test_only_a_committed_record_of_a_hung_transaction_is_given(cluster):
    topic = "hung"
    await cluster.create(topic, 3)
    feed = Feed(cluster.connection, topic, rate=1, seed=1)
    ends = [
        await hang(cluster.connection, topic, feed, seconds=2, draw=draw)
        for draw in (0.1, 0.5, 0.9)
    ]
    assert ends == ["commits", "aborts", "is timed out"]
    assert await evidence.open_transactions(cluster.connection, topic, seconds=30) == []
    given = await evidence.given(cluster.connection, topic)
    assert {record.kind for record in given} == {COMMITTED}
    assert {(r.partition, r.offset): r.number for r in given} == feed.acknowledged
    assert all(record.prompt_tokens for record in given)
