"""While the bus refuses, no more is judged than fits at the engine and in the outbox."""

import asyncio
from functools import partial

import pytest

from tests.unit.house import INPUT, House
from worker.adapters.memory import MemoryBus
from worker.errors import NotWritten
from worker.records import Partition

# of the house: at the engine, and twice as many in the outbox
IN_FLIGHT, OUTBOX = 6, 12


@pytest.fixture(params=["at_least_once", "exactly_once"])
def build(request):
    return partial(House, request.param, drain_seconds=0.05)


def stall(house):
    """Let the bus give no answer, until the returned event is set."""
    answers = asyncio.Event()

    def waiting(call):
        async def wait_and_call(records, *arguments):
            if records:  # not for the mark of a new owner
                await answers.wait()
            return await call(records, *arguments)

        return wait_and_call

    house.publisher.publish = waiting(house.publisher.publish)
    open_one = house.transactions.open

    async def open_waiting(transactional_id):
        transactor = await open_one(transactional_id)
        transactor.commit = waiting(transactor.commit)
        return transactor

    house.transactions.open = open_waiting
    return answers


async def test_no_more_is_judged_than_fits_while_the_bus_gives_no_answer(build):
    house = build()
    answers = stall(house)
    house.send(400)
    async with house.running():
        await house.until(lambda: house.engine.progress >= OUTBOX / 2)
        for _ in range(20):
            await house.idle()
        assert house.engine.progress <= IN_FLIGHT + OUTBOX
        assert house.judged() == []
        answers.set()
        await house.until(lambda: house.bus.committed.get(INPUT) == 400)
    assert sorted(house.judged(), key=int) == [str(n) for n in range(400)]
    assert house.engine.progress == 400


async def test_no_more_is_judged_than_fits_while_the_bus_refuses(build):
    house = build(bus=MemoryBus(partitions=4))
    house.bus.refuses = lambda record: NotWritten(record.topic, "NOT_ENOUGH_REPLICAS")
    for n in range(400):
        house.bus.append("events", value=b'{"id": "%d", "prompt": "a"}' % n, partition=n % 4)
    async with house.running():
        await house.until(lambda: house.pipeline.trouble() is not None)
        takeovers = len(house.transactions.opened)
        for _ in range(20):
            await house.idle()
        assert "verdicts takes no record: NOT_ENOUGH_REPLICAS" in house.pipeline.trouble()
        # in exactly_once a partition is judged again each time that it is taken over
        again = len(house.transactions.opened) - takeovers
        assert house.engine.progress <= IN_FLIGHT + OUTBOX + 16 * again
        assert house.judged() == []
        house.bus.refuses = lambda _: None
        ends = {Partition("events", n): 100 for n in range(4)}
        await house.until(lambda: house.bus.committed == ends)
    assert sorted(house.judged(), key=int) == [str(n) for n in range(400)]


async def test_bad_records_wait_in_their_queues_too(build):
    house = build()
    answers = stall(house)
    for _ in range(500):
        house.bus.append("events", value=b"nonsense")
    async with house.running():
        await house.until(lambda: house.pipeline.outcomes["dead_letter"] > 0)
        for _ in range(20):
            await house.idle()
        # one chunk is prepared at a time
        assert house.pipeline.outcomes["dead_letter"] <= 64
        answers.set()
        await house.until(lambda: len(house.bus.topic("dead")) == 500)


async def test_the_outbox_has_a_bound_in_bytes(build):
    house = build(outbox_bytes=3000)
    answers = stall(house)
    house.send(200)
    async with house.running():
        await house.until(lambda: house.engine.progress > 0)
        for _ in range(20):
            await house.idle()
        # a verdict is about a kilobyte
        assert house.engine.progress <= IN_FLIGHT + 4
        answers.set()
        await house.until(lambda: house.bus.committed.get(INPUT) == 200)


async def test_outcomes_that_wait_are_counted_in_bytes(build):
    house = build()
    answers = stall(house)
    house.send(5)
    async with house.running():
        await house.until(lambda: house.engine.progress == 5)
        await house.idle()
        _, size_bytes = house.delivery.backlog(INPUT)
        assert 2000 < size_bytes < 20_000
        answers.set()
        await house.until(lambda: house.bus.committed.get(INPUT) == 5)
        await house.until(lambda: house.delivery.backlog(INPUT) == (0, 0))


async def test_what_waits_behind_a_slow_record_does_not_stop_admission():
    """In exactly_once it cannot be written before the slow record, however full the outbox is."""
    house = House("exactly_once", drain_seconds=0.05)
    house.send(1)
    house.engine.gate.clear()
    async with house.running():
        await house.until(lambda: house.engine.running == 1)
        slow, house.engine.gate = house.engine.gate, asyncio.Event()
        house.engine.gate.set()
        house.send(100, start=1)
        await house.until(lambda: house.engine.progress == 100)
        assert house.judged() == []
        slow.set()
        await house.until(lambda: house.bus.committed.get(INPUT) == 101)
    assert house.judged() == [str(n) for n in range(101)]
