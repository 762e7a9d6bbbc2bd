"""A record that kills the process, found over restarts on a real broker."""

import asyncio
import logging

import pytest

from tests.integration.harness import both_guarantees, event, produce, read
from worker.adapters.kafka.reader import committed_offsets, held_offsets, read_ranges
from worker.adapters.simulated import poisonous
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.domain.dead_letters import ERROR, ORIGIN_OFFSET, ORIGIN_PARTITION
from worker.domain.errors import EngineDead
from worker.guards.guardreasoner.prompt import render
from worker.runtime.engines import demonstration_model
from worker.runtime.worker import Worker

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
RATE = 0.01
EVENTS = 300


async def poison_among(topic):
    """Events of which exactly one kills the simulated engine."""
    tokenizer = JsonTokenizer.load(demonstration_model(), None)
    events, poison = [], None
    number = 0
    while len(events) < EVENTS or poison is None:
        made = event(topic, str(number))
        prompt = render(f"How do I bake bread number {number}?", None)
        (ids,) = await tokenizer.encode([prompt], 4096)
        if not poisonous(ids, RATE):
            events.append(made)
        elif poison is None:
            poison = str(number)
            events.append(made)
        number += 1
    return events, poison


@both_guarantees
async def test_a_prompt_that_kills_the_engine_ends_in_one_dead_letter(
    kafka_settings, connection, caplog
):
    caplog.set_level(logging.INFO, "worker")
    settings = await kafka_settings(
        partitions=2,
        engine={"simulated": {"poison_rate": RATE, "time_per_output_token_seconds": 0}},
    )
    topic = settings.input.topics[0]
    events, poison = await poison_among(topic)
    await produce(connection, topic, events)
    deaths = []

    async def is_done():
        offsets = await committed_offsets(connection, topic, settings.input.group_id)
        return all(end == (done or 0) for _, done, end in offsets)

    while True:
        worker = Worker(settings)
        running = asyncio.create_task(worker.run())
        while not running.done() and not await is_done():
            await asyncio.sleep(0.2)
        if not running.done():
            worker.stop()
            await running
            break
        with pytest.raises(EngineDead):
            await running
        deaths.append(caplog.text)
        caplog.clear()
        assert len(deaths) <= 4, deaths
    assert len(deaths) == 4
    (letter,) = await read(connection, [settings.output.dead_letter_topic], 1)
    headers = dict(letter.headers)
    assert (letter.key, headers[ERROR]) == (poison.encode(), b"PoisonRecord")
    ranges = await held_offsets(connection, settings.output.verdict_topic)
    names = {record.key.decode() async for record in read_ranges(connection, ranges)}
    assert names == {record.key.decode() for record in events} - {poison}
    suspect = f"{topic}/{headers[ORIGIN_PARTITION].decode()}@{headers[ORIGIN_OFFSET].decode()}"
    # the log names the record at each death: when the engine dies, and when it is judged alone
    assert all(suspect in death for death in deaths)
