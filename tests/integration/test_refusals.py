"""Topics that refuse records, on a real broker: what is held up by them, and what is reported."""

import asyncio

import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.integration.harness import both_guarantees, event, produce, read, until
from worker.domain.errors import BusUnavailable
from worker.domain.records import OutgoingRecord
from worker.operator.preflight import check_settings
from worker.runtime.worker import Worker

pytestmark = pytest.mark.integration


async def configure(connection, topic, **configs):
    """Change settings of a topic; those that are not named go back to the broker's."""
    admin = AIOKafkaAdminClient(**connection.arguments())
    await admin.start()
    try:
        named = {name.replace("_", "."): value for name, value in configs.items()}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, named)])
    finally:
        await admin.close()


def bad(topic, size, partition=0):
    return OutgoingRecord(topic, None, b"x" * size, (), partition)


def good(topic, name, partition=0):
    return OutgoingRecord(topic, name.encode(), event(topic, name).value, (), partition)


@both_guarantees
@pytest.mark.parametrize("limit", [3000, 300])
async def test_a_dead_letter_is_cut_to_a_limit_that_was_lowered_meanwhile(
    kafka_settings, connection, limit
):
    settings = await kafka_settings(partitions=2)
    topic, output = settings.input.topics[0], settings.output
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await produce(connection, topic, [good(topic, "first")])
    await until(lambda: worker.settled == 1)
    await configure(connection, output.dead_letter_topic, max_message_bytes=str(limit))
    await produce(
        connection,
        topic,
        [bad(topic, 20_000), *[good(topic, str(n), n % 2) for n in range(3)], bad(topic, 9000, 1)],
    )
    await until(lambda: worker.settled == 6, seconds=40)
    worker.stop()
    await running
    assert len(await read(connection, [output.verdict_topic], 4)) == 4
    letters = await read(connection, [output.dead_letter_topic], 2)
    origins = {dict(letter.headers)["__dlq.errors.partition"] for letter in letters}
    assert origins == {b"0", b"1"}


@both_guarantees
async def test_a_verdict_too_large_for_a_limit_that_was_lowered_becomes_a_dead_letter(
    kafka_settings, connection
):
    settings = await kafka_settings()
    topic, output = settings.input.topics[0], settings.output
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await produce(connection, topic, [good(topic, "first")])
    await until(lambda: worker.settled == 1)
    await configure(connection, output.verdict_topic, max_message_bytes="4000")
    large = OutgoingRecord(topic, b"k", event(topic, "large").value, (("x-big", b"b" * 6000),))
    await produce(connection, topic, [good(topic, "a"), large, good(topic, "b")])
    await until(lambda: worker.settled == 4, seconds=40)
    worker.stop()
    await running
    verdicts = await read(connection, [output.verdict_topic], 3)
    assert {orjson.loads(v.value)["event_id"] for v in verdicts} == {"first", "a", "b"}
    (letter,) = await read(connection, [output.dead_letter_topic], 1)
    assert dict(letter.headers)["guardstream.error"] == b"VerdictTooLarge"


@both_guarantees
async def test_a_compacted_dead_letter_topic_is_refused(kafka_settings, connection):
    settings = await kafka_settings()
    topic = settings.output.dead_letter_topic
    await configure(connection, topic, cleanup_policy="compact")
    await configure(connection, settings.output.verdict_topic, cleanup_policy="compact")
    findings = {f.check: f for f in await check_settings(settings)}
    assert not findings["dead-letter topic"].passed
    assert f"The dead-letter topic {topic} is compacted" in findings["dead-letter topic"].text
    assert findings["verdict topic"].passed
    with pytest.raises(BusUnavailable, match="is compacted"):
        await Worker(settings).run()


@both_guarantees
async def test_a_refused_dead_letter_holds_up_its_partition_and_is_named(
    kafka_settings, connection
):
    settings = await kafka_settings(partitions=3)
    topic, output = settings.input.topics[0], settings.output
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await produce(connection, topic, [good(topic, "first")])
    await until(lambda: worker.settled == 1)
    # compacted while the worker runs: the broker takes no record without a key
    await configure(connection, output.dead_letter_topic, cleanup_policy="compact")
    events = [good(topic, f"{p}-{n}", p) for n in range(20) for p in range(3)]
    await produce(connection, topic, [bad(topic, 10, 1), *events])
    await until(lambda: worker.settled >= 41, seconds=40)
    await until(lambda: worker._ready().reasons)
    (reason,) = worker._ready().reasons
    assert f"{output.dead_letter_topic} takes no record: INVALID_RECORD" in reason
    assert f"{topic}/1" in reason
    await configure(connection, output.dead_letter_topic, cleanup_policy="delete")
    await until(lambda: worker.settled == 62, seconds=40)
    await until(lambda: not worker._ready().reasons)
    worker.stop()
    await running
    assert len(await read(connection, [output.verdict_topic], 61)) == 61
    assert len(await read(connection, [output.dead_letter_topic], 1)) == 1


async def test_no_more_is_judged_than_fits_while_the_verdict_topic_refuses(
    kafka_settings, connection
):
    settings = await kafka_settings(
        partitions=3, engine={"max_num_seqs": 32}, batch={"max_records": 16}
    )
    topic, output = settings.input.topics[0], settings.output
    # nearly every record is older than that when it arrives. Not for exactly_once: the broker then
    # refuses its own markers too, and never ends the transaction
    await configure(connection, output.verdict_topic, message_timestamp_before_max_ms="0")
    await produce(connection, topic, [good(topic, str(n), n % 3) for n in range(3000)])
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.outcomes["verdict"] > 48)
    await until(lambda: worker._ready().reasons, seconds=40)
    await asyncio.sleep(3)
    (reason,) = worker._ready().reasons
    assert f"{output.verdict_topic} takes no record: INVALID_TIMESTAMP" in reason
    # at the engine, and twice as many in the outbox
    assert worker.settled < 50
    assert worker.outcomes["verdict"] <= worker.settled + 3 * (32 + 16)
    await configure(connection, output.verdict_topic)
    await until(lambda: worker.settled == 3000)
    worker.stop()
    await running
    verdicts = await read(connection, [output.verdict_topic], 3000)
    assert {orjson.loads(v.value)["event_id"] for v in verdicts} == {str(n) for n in range(3000)}
