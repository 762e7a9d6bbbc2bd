"""`guardstream check` against a real broker: what it finds, and what it says of what is missing."""

import asyncio

import pytest

from tests.integration.harness import both_guarantees, event, produce, start_process

pytestmark = pytest.mark.integration


async def check(settings, **environment):
    process = await start_process(settings, "check", **environment)
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    return process.returncode, " ".join(out.decode().split())


@both_guarantees
async def test_what_holds_is_said_and_exits_0(kafka_settings):
    settings = await kafka_settings(partitions=3)
    code, said = await check(settings, ENGINE__SIMULATED__ALLOWED="true")
    assert code == 0, said
    assert f"{settings.input.topics[0]} (3 partitions" in said
    transactional = settings.delivery.guarantee == "exactly_once"
    assert ("may use transactional ids" in said) == transactional


async def test_the_newest_records_are_decoded(kafka_settings, connection):
    settings = await kafka_settings(partitions=2)
    topic = settings.input.topics[0]
    await produce(connection, topic, [event(topic, "1"), event(topic, "2")])
    code, said = await check(settings, ENGINE__SIMULATED__ALLOWED="true")
    assert code == 0, said
    assert "2 of 2 records are understood (2 exchanges)" in said
    code, said = await check(settings, ENGINE__SIMULATED__ALLOWED="true", INPUT__MAPPING="litellm")
    assert code == 1
    assert "0 of 2 records are understood" in said
    assert "guardstream map" in said


async def test_what_is_missing_is_named_and_exits_1(kafka_settings):
    settings = await kafka_settings()
    code, said = await check(settings, OUTPUT__VERDICT_TOPIC="nobody-made-this")
    assert code == 1
    assert "has no topic nobody-made-this" in said
    assert "The simulated engine judges nothing" in said
