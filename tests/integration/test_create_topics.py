"""`guardstream topics`: what is missing is made as asked for, what is there stays."""

import asyncio
import uuid

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.integration.harness import start_process
from worker.adapters.kafka.connection import create_topics, describe_topics
from worker.policy.file import STARTER
from worker.runtime.settings import load_settings

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(connection):
    name = uuid.uuid4().hex[:8]
    return load_settings(
        kafka={"bootstrap_servers": connection.bootstrap_servers},
        input={"topics": [f"events-{name}"]},
        output={
            "verdict_topic": f"verdicts-{name}",
            "decision_topic": f"decisions-{name}",
            "dead_letter_topic": f"dead-{name}",
        },
        policy={"file": str(STARTER)},
    )


async def topics(settings, *options):
    process = await start_process(
        settings,
        "topics",
        *options,
        OUTPUT__DECISION_TOPIC=settings.output.decision_topic,
        POLICY__FILE=str(settings.policy.file),
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def configuration(connection, name):
    admin = AIOKafkaAdminClient(**connection.arguments())
    await admin.start()
    try:
        (found,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    finally:
        await admin.close()
    ((_, _, _, _, entries),) = found.resources
    return {entry[0]: entry[1] for entry in entries}


async def test_what_is_missing_is_created_and_what_is_there_stays(connection, settings):
    (events,), output = settings.input.topics, settings.output
    await create_topics(connection, [output.verdict_topic], partitions=3)
    options = ("--partitions=4", "--output-partitions=2", "--replicas=1", "--min-insync-replicas=1")

    code, said, _ = await topics(settings, *options, "--retention-hours=2")

    assert code == 0
    assert f"{events}: created, with 4 partitions" in said
    assert f"{output.verdict_topic}: was there, with 3 partitions" in said
    names = (events, output.verdict_topic, output.decision_topic, output.dead_letter_topic)
    found = await describe_topics(connection, names)
    assert [found[name].partitions for name in names] == [4, 3, 2, 2]
    assert (await configuration(connection, events))["retention.ms"] == "7200000"
    decisions = await configuration(connection, output.decision_topic)
    assert decisions["retention.ms"] == "7200000"
    dead = await configuration(connection, output.dead_letter_topic)
    assert dead["retention.ms"] == str(720 * 3_600_000)
    assert dead["min.insync.replicas"] == "1"

    code, said, _ = await topics(settings, *options)
    assert code == 0
    assert "created" not in said


async def test_what_the_brokers_refuse_is_said_and_exits_1(settings):
    code, _, said = await topics(settings, "--partitions=1", "--replicas=3")
    assert code == 1
    assert "cannot be created: InvalidReplicationFactor" in said


async def test_a_topic_that_was_just_created_is_known(connection):
    for _ in range(5):
        name = f"just-created-{uuid.uuid4().hex[:8]}"
        await create_topics(connection, [name], partitions=32)
        assert (await describe_topics(connection, [name]))[name].partitions == 32
