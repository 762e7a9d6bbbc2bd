"""What the core relies on of a bus, asked of the one in memory and of Kafka alike."""

import asyncio
import uuid

import pytest

from worker.adapters.kafka.connection import create_topics
from worker.adapters.kafka.publisher import KafkaPublisher
from worker.adapters.kafka.source import KafkaSource
from worker.adapters.memory import MemoryBus, MemoryPublisher, MemorySource
from worker.domain.errors import Retriable
from worker.domain.records import CommittedOffset, OutgoingRecord, Partition


class Listener:
    """Rewinds and resumes what it is given, in the background as the deliveries do."""

    def __init__(self, source):
        self.source = source
        self.held = set()
        self.tasks = set()

    async def assigned(self, partitions):
        self.tasks |= {asyncio.ensure_future(self.take_over(p)) for p in partitions}

    async def take_over(self, partition):
        committed = await self.source.locate(partition)
        self.source.seek(partition, committed.offset)
        self.source.resume([partition])
        self.held.add(partition)

    async def revoked(self, partitions):
        self.held -= set(partitions)

    lost = revoked


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
async def bus(request):
    topic = f"contract-{uuid.uuid4().hex[:8]}"
    if request.param == "memory":
        memory = MemoryBus()
        return topic, lambda: MemorySource(memory, [topic]), MemoryPublisher(memory)
    connection = request.getfixturevalue("connection")
    await create_topics(connection, [topic], partitions=1)
    return (
        topic,
        lambda: KafkaSource(connection, topics=[topic], group_id=topic),
        KafkaPublisher(connection, topics=[topic]),
    )


async def receive(source, count):
    found = []
    async with asyncio.timeout(60):
        while len(found) < count:
            found += await source.receive()
    return found


async def holding(make_source):
    """A source that has its partitions."""
    source = make_source()
    listener = Listener(source)
    await source.start(listener)
    async with asyncio.timeout(60):
        while not listener.held:
            await source.receive()
    return source


async def test_what_is_published_is_received_whole_and_in_order(bus):
    topic, make_source, publisher = bus
    source = make_source()
    listener = Listener(source)
    await publisher.start()
    sent = [
        OutgoingRecord(topic, b"k", b"\x00\xff", (("a", b"1"), ("a", b"2"))),
        OutgoingRecord(topic, None, b"", ()),
        OutgoingRecord(topic, b"k", None, ()),
    ]
    await publisher.publish(sent)
    await source.start(listener)
    found = await receive(source, 3)
    assert listener.held == {Partition(topic, 0)}
    assert [(r.key, r.value, r.headers) for _, r in found] == [
        (r.key, r.value, r.headers) for r in sent
    ]
    assert [r.offset for _, r in found] == [0, 1, 2]
    assert await source.position(Partition(topic, 0)) == 3
    await source.stop()
    await publisher.stop()


async def test_a_new_member_goes_on_from_what_was_committed(bus):
    topic, make_source, publisher = bus
    await publisher.start()
    await publisher.publish([OutgoingRecord(topic, None, b"%d" % n, ()) for n in range(5)])
    source = make_source()
    await source.start(Listener(source))
    await receive(source, 5)
    await source.commit({Partition(topic, 0): CommittedOffset(3)})
    await source.stop()
    again = make_source()
    await again.start(Listener(again))
    assert [r.value for _, r in await receive(again, 2)] == [b"3", b"4"]
    await again.stop()
    await publisher.stop()


async def test_a_paused_partition_is_silent_until_it_is_resumed(bus):
    topic, make_source, publisher = bus
    partition = Partition(topic, 0)
    await publisher.start()
    source = await holding(make_source)
    source.pause([partition])
    await publisher.publish([OutgoingRecord(topic, None, b"x", ())])
    assert [await source.receive() for _ in range(5)] == [[]] * 5
    source.resume([partition])
    assert len(await receive(source, 1)) == 1
    await source.stop()
    await publisher.stop()


async def test_what_is_not_held_cannot_be_committed(bus):
    topic, make_source, publisher = bus
    await publisher.start()
    source = await holding(make_source)
    elsewhere = Partition(topic, 7)
    assert await source.position(elsewhere) is None
    with pytest.raises(Retriable):
        await source.commit({elsewhere: CommittedOffset(1)})
    await source.stop()
    await publisher.stop()


async def test_a_topic_has_a_size_limit(bus):
    topic, _, publisher = bus
    await publisher.start()
    assert publisher.max_bytes(topic) > 1000
    await publisher.stop()


async def test_nothing_is_received_before_it_is_resumed(bus):
    """aiokafka can hand out records of a new assignment while its callback still runs."""
    topic, make_source, publisher = bus
    await publisher.start()
    await publisher.publish([OutgoingRecord(topic, None, b"x", ())])
    source = make_source()
    listener = Listener(source)
    resumed = asyncio.Event()
    taking_over = listener.take_over

    async def take_over_late(partition):
        await resumed.wait()
        await taking_over(partition)

    listener.take_over = take_over_late
    await source.start(listener)
    assert [await source.receive() for _ in range(5)] == [[]] * 5
    resumed.set()
    assert len(await receive(source, 1)) == 1
    await source.stop()
    await publisher.stop()


@pytest.mark.integration
async def test_a_refused_record_neither_repeats_its_neighbours_nor_blocks_what_follows(connection):
    """aiokafka's idempotent producer answers OutOfOrderSequenceNumber for ever once one failed."""
    topic = f"contract-{uuid.uuid4().hex[:8]}"
    await create_topics(connection, [topic], partitions=1, max_message_bytes="1000")
    publisher = KafkaPublisher(connection, topics=[topic])
    await publisher.start()
    assert await publisher.publish([OutgoingRecord(topic, None, b"before", ())]) == [None]
    (failure,) = await publisher.publish([OutgoingRecord(topic, None, b"x" * 5000, ())])
    assert (failure.topic, failure.kind) == (topic, "too_large")
    assert "MESSAGE_SIZE_TOO_LARGE" in str(failure)
    assert await publisher.publish([OutgoingRecord(topic, None, b"after", ())]) == [None]
    source = KafkaSource(connection, topics=[topic], group_id=topic)
    await source.start(Listener(source))
    assert [r.value for _, r in await receive(source, 2)] == [b"before", b"after"]
    await source.stop()
    await publisher.stop()
