"""Random interleavings of all that can happen to a partition, against both guarantees.

Workers join, leave, die without a word, are evicted and learn it late (zombies), the bus refuses
or answers too late, prompts are held and released. After any of it, once no fault occurs any more,
every record has its outcome, and in exactly_once has it once and in order.
"""

import asyncio
from collections import defaultdict

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.unit.harness import WorkerHarness
from worker.adapters.memory import MemoryBus
from worker.domain.dead_letters import ERROR, ORIGIN_OFFSET, ORIGIN_PARTITION
from worker.domain.records import Partition

PARTITIONS = [Partition("events", 0), Partition("events", 1)]

STEPS = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 1), st.integers(1, 5)),
    st.tuples(st.just("tick"), st.integers(1, 60)),
    st.tuples(st.just("join")),
    st.tuples(st.just("leave"), st.integers(0, 3)),
    st.tuples(st.just("die"), st.integers(0, 3)),
    st.tuples(st.just("evict"), st.integers(0, 3)),
    st.tuples(st.just("release_zombies")),
    st.tuples(st.just("tell_the_evicted")),
    st.tuples(st.just("refuse"), st.integers(0, 3), st.integers(1, 3)),
    st.tuples(st.just("doubt"), st.integers(0, 3), st.integers(1, 3)),
    st.tuples(st.just("slow_down"), st.integers(0, 3), st.integers(1, 60)),
    st.tuples(st.just("hold"), st.integers(0, 3)),
    st.tuples(st.just("release"), st.integers(0, 3)),
)


class Group:
    """A consumer group of workers, and its coordinator."""

    def __init__(self, guarantee):
        self.guarantee = guarantee
        self.deaths = 0
        self.bus = MemoryBus(partitions=2)
        self.members: list[WorkerHarness] = []
        self.zombies: list[tuple[WorkerHarness, set[Partition]]] = []
        self.held: dict[int, set[Partition]] = defaultdict(set)
        self.tasks: dict[int, asyncio.Task] = {}

    async def tick(self, times):
        for _ in range(times):
            await asyncio.sleep(0)

    async def rebalance(self):
        """Eager: all members give all partitions up, then they are assigned again."""
        for member in self.members:
            await member.source.revoke(self.held.pop(id(member), set()))
        for number, partition in enumerate(PARTITIONS):
            if self.members:
                self.held[id(self.members[number % len(self.members)])].add(partition)
        for member in self.members:
            await member.source.assign(self.held[id(member)])

    async def join(self):
        member = WorkerHarness(self.guarantee, drain_seconds=0.0, bus=self.bus)
        # the test is the coordinator: a new member holds nothing yet
        member.source.topics = ()
        self.tasks[id(member)] = asyncio.create_task(member.pipeline.run())
        await self.tick(3)
        self.members.append(member)
        await self.rebalance()

    async def leave(self, member):
        self.members.remove(member)
        await member.source.revoke(self.held.pop(id(member), set()))
        member.pipeline.stop()
        await self.tasks.pop(id(member))
        await self.rebalance()

    async def die(self, member):
        """As by SIGKILL: nothing that it still tries has any effect."""
        self.members.remove(member)
        await self.kill(member)
        await self.rebalance()

    async def kill(self, member):
        self.deaths += 1
        member.refuse(1_000_000)
        member.source.severed = True
        task = self.tasks.pop(id(member))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.held.pop(id(member), None)

    async def evict(self, member):
        """The group goes on without it, and it does not know."""
        if self.guarantee == "at_least_once":
            return  # there Kafka refuses its commits by their generation, which this bus has not
        self.members.remove(member)
        self.zombies.append((member, self.held.pop(id(member), set())))
        await self.rebalance()

    async def release_zombies(self):
        for zombie, _ in self.zombies:
            zombie.release()

    async def tell_the_evicted(self):
        self.deaths += len(self.zombies)
        for zombie, partitions in self.zombies:
            await zombie.source.revoke(partitions, lost=True)
            self.members.append(zombie)
        self.zombies.clear()
        await self.rebalance()

    async def send(self, partition, count):
        for _ in range(count):
            self.bus.append("events", value=b'{"prompt": "hello"}', partition=partition)

    async def do(self, step, *details):
        if step in ("send", "tick", "release_zombies", "tell_the_evicted"):
            await getattr(self, step)(*details)
        elif step == "join":
            if len(self.tasks) < 3:
                await self.join()
        elif self.members:
            which, *details = details
            member = self.members[which % len(self.members)]
            if step in ("leave", "die", "evict"):
                await getattr(self, step)(member)
            else:
                getattr(member, step)(*details)

    async def calm(self):
        """One fresh worker, no faults: it must bring everything to its end."""
        for zombie, _ in self.zombies:
            await self.kill(zombie)
        for member in list(self.members):
            await self.die(member)
        await self.join()
        ends = {p: len(self.bus.records[p]) for p in PARTITIONS}
        async with asyncio.timeout(10):
            while any(self.bus.committed.get(p, 0) != end for p, end in ends.items()):
                await asyncio.sleep(0)
        (member,) = self.members
        await self.leave(member)

    def outcomes(self, partition):
        """The offsets that have outcomes, a list for each partition of the outputs."""
        found = defaultdict(list)
        for record in self.bus.topic("verdicts"):
            source = orjson.loads(record.value)["source"]
            if source["partition"] == partition.number:
                found[record.partition].append(source["offset"])
        for record in self.bus.topic("dead"):
            # a record over which workers die again and again looks like their killer
            headers = dict(record.headers)
            assert headers[ERROR] == b"PoisonRecord"
            assert self.deaths >= 4
            if int(headers[ORIGIN_PARTITION]) == partition.number:
                found[record.partition].append(int(headers[ORIGIN_OFFSET]))
        return list(found.values())


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@settings(
    # the more the better: this is where races are found
    max_examples=4 * settings().max_examples,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
# a zombie commits while its successor is on its way: the offset is read after the fence
@example(
    steps=[
        ("hold", 0),
        ("send", 0, 3),
        ("tick", 30),
        ("join",),
        ("slow_down", 1, 60),
        ("tick", 30),
        ("send", 0, 3),
        ("tick", 30),
        ("evict", 0),
        ("release_zombies",),
        ("tick", 100),
        ("tell_the_evicted",),
    ]
)
@given(steps=st.lists(STEPS, min_size=5, max_size=40))
def test_every_record_has_its_outcome_whatever_happens(guarantee, steps):
    async def example():
        group = Group(guarantee)
        await group.join()
        for step in steps:
            await group.do(*step)
        await group.calm()
        for partition in PARTITIONS:
            outcomes = group.outcomes(partition)
            found = [offset for offsets in outcomes for offset in offsets]
            expected = list(range(len(group.bus.records[partition])))
            if guarantee == "exactly_once":
                assert sorted(found) == expected
                assert all(offsets == sorted(offsets) for offsets in outcomes)
            else:
                assert sorted(set(found)) == expected

    asyncio.run(example())
