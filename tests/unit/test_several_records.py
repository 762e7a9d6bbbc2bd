"""An outcome of several records is durable when all of them are."""

from functools import partial

import pytest

from tests.unit.harness import WorkerHarness
from tests.unit.policy.policies import policy
from worker.adapters.memory import MemoryBus
from worker.domain.errors import NotWritten
from worker.domain.records import Partition

PARTITIONS = [Partition("events", n) for n in range(3)]
EACH = 40


@pytest.fixture(params=["at_least_once", "exactly_once"])
def build(request):
    made = policy()
    return partial(WorkerHarness, request.param, drain_seconds=0.05, policy=lambda: made)


def bus_of_events(*more):
    """Events in all partitions, and then in each one more for each of these headers."""
    bus = MemoryBus(partitions=3)
    for partition in PARTITIONS:
        for number in range(EACH):
            value = b'{"id": "%d-%d", "prompt": "hello"}' % (partition.number, number)
            bus.append("events", value=value, partition=partition.number)
        for headers in more:
            value = b'{"id": "more", "prompt": "hello"}'
            bus.append("events", value=value, headers=headers, partition=partition.number)
    return bus


def committed(bus):
    return [bus.committed.get(partition, 0) for partition in PARTITIONS]


async def test_both_records_of_each_outcome_are_published_once(build):
    bus = bus_of_events()
    harness = build(bus=bus)
    async with harness.running():
        await harness.until(lambda: committed(bus) == [EACH] * 3)
    verdicts, decisions = bus.topic("verdicts"), bus.topic("decisions")
    assert len(verdicts) == len(decisions) == 3 * EACH
    assert len({record.value for record in decisions}) == 3 * EACH
    assert harness.delivery.settled == 3 * EACH


async def test_an_offset_waits_for_the_last_record_of_its_outcome(build):
    bus = bus_of_events()

    bus.refuses = lambda record: (
        NotWritten(record.topic, "INVALID_RECORD", "refused")
        if record.topic == "decisions"
        else None
    )
    harness = build(bus=bus)
    async with harness.running():
        await harness.until(
            lambda: "decisions takes no record" in (harness.pipeline.trouble() or "")
        )
        await harness.idle()
        assert committed(bus) == [0] * 3
        bus.refuses = lambda _: None
        await harness.until(lambda: committed(bus) == [EACH] * 3)
        await harness.until(lambda: harness.pipeline.trouble() is None)
    assert len(bus.topic("verdicts")) == 3 * EACH
    decisions = [record.value for record in bus.topic("decisions")]
    assert len(set(decisions)) == len(decisions) == 3 * EACH
    assert harness.delivery.backlog(PARTITIONS[1]) == (0, 0)


async def test_an_outcome_whose_record_is_too_large_becomes_a_dead_letter(build):
    bus = bus_of_events((("x-large", b"x" * 2000),))
    bus.takes["decisions"] = 2000
    harness = build(bus=bus)
    async with harness.running():
        await harness.until(lambda: committed(bus) == [EACH + 1] * 3)
    letters = [dict(one.headers) for one in bus.topic("dead")]
    assert [one["guardstream.error"] for one in letters] == [b"VerdictTooLarge"] * 3
    for one in letters:
        assert one["__dlq.errors.message"].startswith(b"The decision exceeds the 2")
        assert one["guardstream.action"] == b"review"
    assert len(bus.topic("decisions")) == 3 * EACH
    for partition in PARTITIONS:
        assert harness.delivery.backlog(partition) == (0, 0)
