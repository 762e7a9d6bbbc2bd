"""One refused record holds up its own input partition at most, and is made smaller if it can be."""

import asyncio
from functools import partial

import pytest

from tests.unit.house import House
from worker.adapters.memory import MemoryBus
from worker.errors import NotWritten
from worker.records import Partition

PARTITIONS = [Partition("events", n) for n in range(3)]
BAD = b"nonsense"
GOOD = b'{"prompt": "hello"}'


@pytest.fixture(params=["at_least_once", "exactly_once"])
def build(request):
    return partial(House, request.param, drain_seconds=0.05)


def refuse_dead_letters_of(bus, number):
    """As a policy that objects to what is in this one record."""

    def refuses(record):
        origin = dict(record.headers).get("__dlq.errors.partition")
        if origin == b"%d" % number:
            return NotWritten(record.topic, "INVALID_RECORD", "refused")
        return None

    bus.refuses = refuses


def fill(bus, values):
    for partition in PARTITIONS:
        for value in values:
            bus.append("events", value=value, partition=partition.number)


def judged_of(house):
    return {p: house.bus.committed.get(p, 0) for p in PARTITIONS}


async def test_a_refused_dead_letter_holds_up_its_partition_only(build):
    bus = MemoryBus(partitions=3)
    fill(bus, [BAD, *[GOOD] * 20, BAD, GOOD])
    refuse_dead_letters_of(bus, 1)
    house = build(bus=bus)
    async with house.running():
        await house.until(lambda: judged_of(house)[PARTITIONS[0]] == 23)
        await house.until(lambda: judged_of(house)[PARTITIONS[2]] == 23)
        assert judged_of(house)[PARTITIONS[1]] == 0
        assert "dead takes no record: INVALID_RECORD" in house.pipeline.trouble()
        assert "events/1" in house.pipeline.trouble()
        bus.refuses = lambda _: None
        await house.until(lambda: judged_of(house)[PARTITIONS[1]] == 23)
        await house.until(lambda: house.pipeline.trouble() is None)
    assert len(house.judged()) == 63
    assert len(bus.topic("dead")) == 6


async def test_a_partition_that_cannot_be_written_is_judged_no_further(build):
    bus = MemoryBus(partitions=3)
    fill(bus, [BAD, *[GOOD] * 300])
    refuse_dead_letters_of(bus, 1)
    house = build(bus=bus)
    async with house.running():
        for number in (0, 2):
            await house.until(lambda n=number: judged_of(house)[PARTITIONS[n]] == 301)
        before = house.engine.progress
        attempts = len(house.transactions.opened) if house.guarantee == "exactly_once" else 0
        await house.idle()
        # a probe window for each time the partition is taken over again
        again = len(house.transactions.opened) - attempts if attempts else 0
        assert house.engine.progress - before <= 16 * (again + 1)
    of_it = [n for n in house.judged_offsets() if n[0] == 1]
    assert len(of_it) <= 2 * 64


@pytest.mark.parametrize("takes", [100_000, 3000, 400])
async def test_a_dead_letter_is_cut_until_its_topic_takes_it(build, takes):
    bus = MemoryBus(partitions=3)
    fill(bus, [GOOD, b"x" * 20_000, GOOD])
    bus.takes["dead"] = takes
    house = build(bus=bus)
    async with house.running():
        await house.until(lambda: all(n == 3 for n in judged_of(house).values()))
    letters = bus.topic("dead")
    assert len(house.judged()) == 6
    assert len(letters) == 3
    assert all(b"NotAnEvent" in dict(letter.headers).values() for letter in letters)


async def test_a_verdict_that_its_topic_no_longer_takes_becomes_a_dead_letter(build):
    bus = MemoryBus(partitions=3)
    for number in range(3):
        # a verdict carries its record's headers
        for size in (1, 5000, 1):
            headers = (("x-trace", b"x" * size),)
            bus.append("events", value=GOOD, headers=headers, partition=number)
    bus.takes["verdicts"] = 4000
    house = build(bus=bus)
    async with house.running():
        await house.until(lambda: all(n == 3 for n in judged_of(house).values()))
    assert len(house.judged()) == 6
    letters = bus.topic("dead")
    assert [dict(letter.headers)["guardstream.error"] for letter in letters] == [
        b"VerdictTooLarge"
    ] * 3
    assert [letter.value for letter in letters] == [GOOD] * 3
    if house.guarantee == "at_least_once":
        assert house.pipeline.outcomes == {"verdict": 6, "dead_letter": 3}


async def test_neighbours_of_a_refused_record_are_published_once(build):
    """A refused record takes those of its batch with it: they must not be tried with it again."""
    bus = MemoryBus(partitions=3)
    fill(bus, [BAD] * 10)
    refuse_dead_letters_of(bus, 1)
    house = build(bus=bus)
    async with house.running():
        for number in (0, 2):
            await house.until(lambda n=number: judged_of(house)[PARTITIONS[n]] == 10)
        await house.idle()
    found = [dict(r.headers)["__dlq.errors.partition"] for r in bus.topic("dead")]
    assert (found.count(b"0"), found.count(b"1"), found.count(b"2")) == (10, 0, 10)


async def test_a_revoked_partition_leaves_nothing_waiting(build):
    bus = MemoryBus(partitions=3)
    fill(bus, [BAD, GOOD])
    refuse_dead_letters_of(bus, 1)
    house = build(bus=bus)
    async with house.running():
        await house.until(lambda: judged_of(house)[PARTITIONS[0]] == 2)
        await house.until(lambda: house.pipeline.trouble() is not None)
        await house.source.revoke([PARTITIONS[1]])
        await house.idle()
        assert house.pipeline.trouble() is None
        assert PARTITIONS[1] not in house.delivery.limits()
        assert house.delivery.backlog(PARTITIONS[1]) == (0, 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
