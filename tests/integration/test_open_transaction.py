"""A producer that hangs inside its transaction on the input, seen on a real broker."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer

from tests.integration.harness import event, until
from worker.runtime.worker import Worker
from worker.telemetry import names

pytestmark = pytest.mark.integration


async def test_records_behind_an_open_transaction_are_shown(kafka_settings, connection):
    """The lag is 0, since the last stable offset does not move."""
    settings = await kafka_settings()
    topic = settings.input.topics[0]
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.held == 1)
    producer = AIOKafkaProducer(**connection.arguments(), transactional_id=f"{topic}-hangs")
    await producer.start()
    registry = worker.exporters.telemetry.registry

    def shown(metric):
        return sum(
            sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == metric.base
        )

    await producer.begin_transaction()
    for n in range(3):
        made = event(topic, str(n))
        await producer.send_and_wait(topic, key=made.key, value=made.value)
    await until(lambda: shown(names.LAG_UNSTABLE) >= 3)
    assert shown(names.LAG_RECORDS) == 0
    assert worker.outcomes["verdict"] == 0
    await producer.commit_transaction()
    await until(lambda: worker.outcomes["verdict"] == 3)
    await until(lambda: shown(names.LAG_UNSTABLE) == 0)
    await producer.stop()
    worker.stop()
    await running
