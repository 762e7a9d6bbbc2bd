"""While the bus refuses, no more is judged than fits at the engine and in the outbox."""

import asyncio
from functools import partial

import pytest

from tests.unit.harness import INPUT, WorkerHarness
from worker.adapters.memory import MemoryBus
from worker.domain.errors import NotWritten
from worker.domain.records import Partition

# of the harness: at the engine, and twice as many in the outbox
IN_FLIGHT, OUTBOX = 6, 12


@pytest.fixture(params=["at_least_once", "exactly_once"])
def build(request):
    return partial(WorkerHarness, request.param, drain_seconds=0.05)


def stall(harness):
    """Let the bus give no answer, until the returned event is set."""
    answers = asyncio.Event()

    def waiting(call):
        async def wait_and_call(records, *arguments):
            if records:  # not for the mark of a new owner
                await answers.wait()
            return await call(records, *arguments)

        return wait_and_call

    harness.publisher.publish = waiting(harness.publisher.publish)
    open_one = harness.transactions.open

    async def open_waiting(transactional_id):
        transactor = await open_one(transactional_id)
        transactor.commit = waiting(transactor.commit)
        return transactor

    harness.transactions.open = open_waiting
    return answers


async def test_no_more_is_judged_than_fits_while_the_bus_gives_no_answer(build):
    harness = build()
    answers = stall(harness)
    harness.send(400)
    async with harness.running():
        await harness.until(lambda: harness.engine.progress >= OUTBOX / 2)
        for _ in range(20):
            await harness.idle()
        assert harness.engine.progress <= IN_FLIGHT + OUTBOX
        assert harness.judged() == []
        answers.set()
        await harness.until(lambda: harness.bus.committed.get(INPUT) == 400)
    assert sorted(harness.judged(), key=int) == [str(n) for n in range(400)]
    assert harness.engine.progress == 400


async def test_no_more_is_judged_than_fits_while_the_bus_refuses(build):
    harness = build(bus=MemoryBus(partitions=4))
    harness.bus.refuses = lambda record: NotWritten(record.topic, "NOT_ENOUGH_REPLICAS")
    for n in range(400):
        harness.bus.append("events", value=b'{"id": "%d", "prompt": "a"}' % n, partition=n % 4)
    async with harness.running():
        await harness.until(lambda: harness.pipeline.trouble() is not None)
        takeovers = len(harness.transactions.opened)
        for _ in range(20):
            await harness.idle()
        assert "verdicts takes no record: NOT_ENOUGH_REPLICAS" in harness.pipeline.trouble()
        # in exactly_once a partition is judged again each time that it is taken over
        again = len(harness.transactions.opened) - takeovers
        assert harness.engine.progress <= IN_FLIGHT + OUTBOX + 16 * again
        assert harness.judged() == []
        harness.bus.refuses = lambda _: None
        ends = {Partition("events", n): 100 for n in range(4)}
        await harness.until(lambda: harness.bus.committed == ends)
    assert sorted(harness.judged(), key=int) == [str(n) for n in range(400)]


async def test_bad_records_wait_in_their_queues_too(build):
    harness = build()
    answers = stall(harness)
    for _ in range(500):
        harness.bus.append("events", value=b"nonsense")
    async with harness.running():
        await harness.until(lambda: harness.pipeline.outcomes["dead_letter"] > 0)
        for _ in range(20):
            await harness.idle()
        # one chunk is prepared at a time
        assert harness.pipeline.outcomes["dead_letter"] <= 64
        answers.set()
        await harness.until(lambda: len(harness.bus.topic("dead")) == 500)


async def test_the_outbox_has_a_bound_in_bytes(build):
    harness = build(outbox_bytes=3000)
    answers = stall(harness)
    harness.send(200)
    async with harness.running():
        await harness.until(lambda: harness.engine.progress > 0)
        for _ in range(20):
            await harness.idle()
        # a verdict is about a kilobyte
        assert harness.engine.progress <= IN_FLIGHT + 4
        answers.set()
        await harness.until(lambda: harness.bus.committed.get(INPUT) == 200)


async def test_outcomes_that_wait_are_counted_in_bytes(build):
    harness = build()
    answers = stall(harness)
    harness.send(5)
    async with harness.running():
        await harness.until(lambda: harness.engine.progress == 5)
        await harness.until(lambda: harness.delivery.backlog(INPUT)[1] > 2000)
        await harness.idle()
        assert harness.delivery.backlog(INPUT)[1] < 20_000
        answers.set()
        await harness.until(lambda: harness.bus.committed.get(INPUT) == 5)
        await harness.until(lambda: harness.delivery.backlog(INPUT) == (0, 0))


async def test_what_waits_behind_a_slow_record_does_not_stop_admission():
    """In exactly_once it cannot be written before the slow record, however full the outbox is."""
    harness = WorkerHarness("exactly_once", drain_seconds=0.05)
    harness.send(1)
    harness.engine.gate.clear()
    async with harness.running():
        await harness.until(lambda: harness.engine.running == 1)
        slow, harness.engine.gate = harness.engine.gate, asyncio.Event()
        harness.engine.gate.set()
        harness.send(100, start=1)
        await harness.until(lambda: harness.engine.progress == 100)
        assert harness.judged() == []
        slow.set()
        await harness.until(lambda: harness.bus.committed.get(INPUT) == 101)
    assert harness.judged() == [str(n) for n in range(101)]
