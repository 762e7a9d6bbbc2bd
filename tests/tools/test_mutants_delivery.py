"""The tests of delivery are worth something: each sees the worker that is broken for it."""

import pytest

from tests.chaos import mutants_delivery
from tests.unit.harness import INPUT, WorkerHarness
from tests.unit.test_admission import IN_FLIGHT, OUTBOX, stall
from tests.unit.test_publishing import (
    BAD,
    GOOD,
    PARTITIONS,
    fill,
    judged_of,
    refuse_dead_letters_of,
)
from worker.adapters.memory import MemoryBus


async def test_a_refused_record_that_blocks_all_partitions_is_seen(monkeypatch):
    mutants_delivery.refused_record_blocks_everybody(monkeypatch)
    bus = MemoryBus(partitions=3)
    fill(bus, [BAD, *[GOOD] * 20, BAD, GOOD])
    refuse_dead_letters_of(bus, 1)
    harness = WorkerHarness("at_least_once", bus=bus, drain_seconds=0.05)
    async with harness.running():
        await harness.until(lambda: harness.pipeline.trouble() is not None)
        for _ in range(20):
            await harness.idle()
        assert judged_of(harness)[PARTITIONS[0]] < 23
        assert judged_of(harness)[PARTITIONS[2]] < 23


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_slot_that_is_given_back_before_the_outbox_is_seen(monkeypatch, guarantee):
    mutants_delivery.slot_back_before_the_outbox(monkeypatch)
    harness = WorkerHarness(guarantee, drain_seconds=0.05)
    answers = stall(harness)
    harness.send(200)
    async with harness.running():
        await harness.until(lambda: harness.engine.progress > IN_FLIGHT + OUTBOX)
        answers.set()
        await harness.until(lambda: harness.bus.committed.get(INPUT) == 200)
    assert harness.engine.progress == 200
