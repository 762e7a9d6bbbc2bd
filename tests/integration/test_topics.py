"""What happens to topics under a running worker: each has one documented reaction."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete

from tests.integration.harness import both_guarantees, event, produce, read, until
from worker.adapters.kafka import watchdog
from worker.adapters.kafka.connection import create_topics
from worker.adapters.kafka.reader import committed_offsets
from worker.domain.errors import BusUnavailable, OffsetLost
from worker.runtime.worker import Worker

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _watchful(monkeypatch):
    # metadata is looked at every second, so that nobody waits half a minute
    monkeypatch.setattr(watchdog, "METADATA_SECONDS", 1.0)


@pytest.fixture
async def admin(connection):
    client = AIOKafkaAdminClient(**connection.arguments())
    await client.start()
    yield client
    await client.close()


async def judge_all(settings, count):
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: sum(worker.outcomes.values()) >= count or running.done(), 30)
    worker.stop()
    await running
    return worker


@both_guarantees
async def test_partitions_added_while_running_are_judged_from_their_beginning(
    kafka_settings, connection, admin
):
    settings = await kafka_settings(partitions=1)
    settings = settings.model_copy(
        update={"input": settings.input.model_copy(update={"start_from": "latest"})}
    )
    topic = settings.input.topics[0]
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.held == 1, 30)
    await admin.create_partitions({topic: NewPartitions(total_count=3)})
    # before the worker can know of the new partitions
    await produce(connection, topic, [event(topic, str(n)) for n in range(30)])
    await until(lambda: worker.outcomes["verdict"] == 30, 60)
    worker.stop()
    await running
    assert worker.held == 0
    offsets = await committed_offsets(connection, topic, settings.input.group_id)
    assert [committed for _, committed, _ in offsets] == [end for *_, end in offsets]


@both_guarantees
async def test_offsets_overtaken_by_retention_stop_the_worker(kafka_settings, connection, admin):
    settings = await kafka_settings(partitions=1)
    topic = settings.input.topics[0]
    await produce(connection, topic, [event(topic, str(n)) for n in range(5)])
    await judge_all(settings, 5)
    await produce(connection, topic, [event(topic, str(n)) for n in range(5, 20)])
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=12)})

    with pytest.raises(OffsetLost, match=r"on_offset_lost"):
        async with asyncio.timeout(120):
            await Worker(settings).run()

    chosen = settings.input.model_copy(update={"on_offset_lost": "earliest"})
    await judge_all(settings.model_copy(update={"input": chosen}), 8)
    verdicts = await read(connection, [settings.output.verdict_topic], 13)
    assert sorted(int(r.key) for r in verdicts) == [*range(5), *range(12, 20)]


@both_guarantees
async def test_a_deleted_topic_stops_the_worker(kafka_settings, connection, admin):
    settings = await kafka_settings(partitions=1)
    topic = settings.input.topics[0]
    await produce(connection, topic, [event(topic, "1")])
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.outcomes["verdict"] == 1, 30)
    await admin.delete_topics([topic])
    with pytest.raises(BusUnavailable, match=f"{topic} was deleted"):
        async with asyncio.timeout(60):
            await running


@both_guarantees
async def test_a_topic_made_anew_does_not_pass_for_the_old_one(kafka_settings, connection, admin):
    settings = await kafka_settings(partitions=1)
    topic = settings.input.topics[0]
    await produce(connection, topic, [event(topic, str(n)) for n in range(5)])
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.outcomes["verdict"] == 5, 30)
    await admin.delete_topics([topic])
    await asyncio.sleep(0.5)
    await create_topics(connection, [topic], partitions=1)
    await produce(connection, topic, [event(topic, "new")])
    with pytest.raises((OffsetLost, BusUnavailable)):
        async with asyncio.timeout(60):
            await running
    chosen = settings.input.model_copy(update={"on_offset_lost": "earliest"})
    again = await judge_all(settings.model_copy(update={"input": chosen}), 1)
    assert again.outcomes["verdict"] == 1
