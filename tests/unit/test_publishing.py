"""One refused record holds up its own input partition at most, and is made smaller if it can be."""

import asyncio
from functools import partial

import pytest

from tests.unit.harness import WorkerHarness
from worker.adapters.memory import MemoryBus
from worker.domain.errors import NotWritten
from worker.domain.records import Partition

PARTITIONS = [Partition("events", n) for n in range(3)]
BAD = b"nonsense"
GOOD = b'{"prompt": "hello"}'


@pytest.fixture(params=["at_least_once", "exactly_once"])
def build(request):
    return partial(WorkerHarness, request.param, drain_seconds=0.05)


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


def judged_of(harness):
    return {p: harness.bus.committed.get(p, 0) for p in PARTITIONS}


async def test_a_refused_dead_letter_holds_up_its_partition_only(build):
    bus = MemoryBus(partitions=3)
    fill(bus, [BAD, *[GOOD] * 20, BAD, GOOD])
    refuse_dead_letters_of(bus, 1)
    harness = build(bus=bus)
    async with harness.running():
        await harness.until(lambda: judged_of(harness)[PARTITIONS[0]] == 23)
        await harness.until(lambda: judged_of(harness)[PARTITIONS[2]] == 23)
        assert judged_of(harness)[PARTITIONS[1]] == 0
        assert "dead takes no record: INVALID_RECORD" in harness.pipeline.trouble()
        assert "events/1" in harness.pipeline.trouble()
        bus.refuses = lambda _: None
        await harness.until(lambda: judged_of(harness)[PARTITIONS[1]] == 23)
        await harness.until(lambda: harness.pipeline.trouble() is None)
    assert len(harness.judged()) == 63
    assert len(bus.topic("dead")) == 6


async def test_a_partition_that_cannot_be_written_is_judged_no_further(build):
    bus = MemoryBus(partitions=3)
    fill(bus, [BAD, *[GOOD] * 300])
    refuse_dead_letters_of(bus, 1)
    harness = build(bus=bus)
    async with harness.running():
        for number in (0, 2):
            await harness.until(lambda n=number: judged_of(harness)[PARTITIONS[n]] == 301)
        before = harness.engine.progress
        attempts = len(harness.transactions.opened) if harness.guarantee == "exactly_once" else 0
        await harness.idle()
        # a probe window for each time the partition is taken over again
        again = len(harness.transactions.opened) - attempts if attempts else 0
        assert harness.engine.progress - before <= 16 * (again + 1)
    of_it = [n for n in harness.judged_offsets() if n[0] == 1]
    assert len(of_it) <= 2 * 64


@pytest.mark.parametrize("takes", [100_000, 3000, 400])
async def test_a_dead_letter_is_cut_until_its_topic_takes_it(build, takes):
    bus = MemoryBus(partitions=3)
    fill(bus, [GOOD, b"x" * 20_000, GOOD])
    bus.takes["dead"] = takes
    harness = build(bus=bus)
    async with harness.running():
        await harness.until(lambda: all(n == 3 for n in judged_of(harness).values()))
    letters = bus.topic("dead")
    assert len(harness.judged()) == 6
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
    harness = build(bus=bus)
    async with harness.running():
        await harness.until(lambda: all(n == 3 for n in judged_of(harness).values()))
    assert len(harness.judged()) == 6
    letters = bus.topic("dead")
    assert [dict(letter.headers)["guardstream.error"] for letter in letters] == [
        b"VerdictTooLarge"
    ] * 3
    assert [letter.value for letter in letters] == [GOOD] * 3
    if harness.guarantee == "at_least_once":
        assert harness.pipeline.outcomes == {"verdict": 6, "dead_letter": 3}


async def test_neighbours_of_a_refused_record_are_published_once(build):
    """A refused record takes those of its batch with it: they must not be tried with it again."""
    bus = MemoryBus(partitions=3)
    fill(bus, [BAD] * 10)
    refuse_dead_letters_of(bus, 1)
    harness = build(bus=bus)
    async with harness.running():
        for number in (0, 2):
            await harness.until(lambda n=number: judged_of(harness)[PARTITIONS[n]] == 10)
        await harness.idle()
    found = [dict(r.headers)["__dlq.errors.partition"] for r in bus.topic("dead")]
    assert (found.count(b"0"), found.count(b"1"), found.count(b"2")) == (10, 0, 10)


async def test_a_revoked_partition_leaves_nothing_waiting(build):
    bus = MemoryBus(partitions=3)
    fill(bus, [BAD, GOOD])
    refuse_dead_letters_of(bus, 1)
    harness = build(bus=bus)
    async with harness.running():
        await harness.until(lambda: judged_of(harness)[PARTITIONS[0]] == 2)
        await harness.until(lambda: harness.pipeline.trouble() is not None)
        await harness.source.revoke([PARTITIONS[1]])
        await harness.until(lambda: harness.pipeline.trouble() is None)
        assert PARTITIONS[1] not in harness.delivery.limits()
        assert harness.delivery.backlog(PARTITIONS[1]) == (0, 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
