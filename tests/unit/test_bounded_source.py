"""A source that ends at given offsets."""

import pytest

from tests.unit.harness import INPUT, WorkerHarness
from worker.adapters.memory import MemoryBus, MemorySource
from worker.domain.records import Partition
from worker.flow.bounded_source import BoundedSource

OTHER = Partition("events", 1)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("end", [0, 1, 7, 20])
async def test_a_worker_judges_and_commits_up_to_the_end_only(guarantee, end):
    bus = MemoryBus()
    harness = WorkerHarness(
        guarantee, bus=bus, source=BoundedSource(MemorySource(bus, ["events"]), {INPUT: end})
    )
    harness.send(20)
    async with harness.running():
        await harness.until(lambda: bus.committed.get(INPUT, 0) == end)
        await harness.idle()
        assert bus.committed.get(INPUT, 0) == end
        assert await harness.source.ends([INPUT]) == {INPUT: end}
    assert harness.judged() == [str(n) for n in range(end)]


async def test_partitions_without_an_end_are_read_on():
    bus = MemoryBus(partitions=2)
    harness = WorkerHarness(
        "at_least_once",
        bus=bus,
        source=BoundedSource(MemorySource(bus, ["events"]), {INPUT: 1}),
    )
    for n in range(6):
        bus.append("events", value=b'{"prompt": "hello"}', partition=n % 2)
    async with harness.running():
        await harness.until(lambda: bus.committed == {INPUT: 1, OTHER: 3})
    assert sorted(harness.judged_offsets()) == [(0, 0), (1, 0), (1, 1), (1, 2)]
