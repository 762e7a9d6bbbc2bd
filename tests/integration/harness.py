"""What the integration tests share: records to send, outcomes to read, workers as processes."""

import asyncio
import os
import sys

import orjson
import pytest

from worker.adapters.kafka.publisher import KafkaPublisher
from worker.adapters.kafka.reader import read_topics
from worker.domain.records import OutgoingRecord

GUARANTEES = ["at_least_once", "exactly_once"]
both_guarantees = pytest.mark.parametrize("kafka_settings", GUARANTEES, indirect=True)


async def produce(connection, topic, records):
    publisher = KafkaPublisher(connection, topics=[topic])
    await publisher.start()
    for start in range(0, len(records), 1000):
        await publisher.publish_all(records[start : start + 1000])
    await publisher.stop()


def event(topic, name, **fields):
    value = orjson.dumps({"id": name, "prompt": f"How do I bake bread number {name}?"} | fields)
    return OutgoingRecord(topic, name.encode(), value, (("x-tenant", b"t1"),))


async def read(connection, topics, count, seconds=120.0):
    found = []
    reader = read_topics(connection, topics, from_beginning=True)
    async with asyncio.timeout(seconds):
        while len(found) < count:
            found.append(await anext(reader))
    await reader.aclose()
    return found


async def until(condition, seconds=120.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


async def start_process(settings, command="run", *options, **environment):
    """A command in a process of its own, with these settings."""
    variables = {
        "KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "INPUT__TOPICS": f'["{settings.input.topics[0]}"]',
        "INPUT__GROUP_ID": settings.input.group_id,
        "OUTPUT__VERDICT_TOPIC": settings.output.verdict_topic,
        "OUTPUT__DEAD_LETTER_TOPIC": settings.output.dead_letter_topic,
        "OUTPUT__DECISION_TOPIC": settings.output.decision_topic,
        "DELIVERY__GUARANTEE": settings.delivery.guarantee,
        "ENGINE__KIND": "simulated",
        "HEALTH__PORT": "0",
    } | environment
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", command, *options),
        env=os.environ | {f"GUARDSTREAM_{name}": value for name, value in variables.items()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
