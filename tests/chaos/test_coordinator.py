"""Brokers that are not the group's coordinator, on a real cluster."""

import os

import pytest
from aiokafka import TopicPartition
from aiokafka.client import CoordinationType

from tests.chaos import leaders
from tests.chaos.cluster import Cluster
from tests.chaos.coordinator import group_partition, keep_moving
from tests.chaos.faults import Planned
from tests.chaos.mutants import MUTANTS
from tests.chaos.run import Plan, execute
from worker.adapters.kafka.source import KafkaSource
from worker.domain.records import CommittedOffset, Partition

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
PARTITION = Partition("asked", 0)


@pytest.fixture(scope="module")
def cluster():
    if "GUARDSTREAM_TEST_BOOTSTRAP_SERVERS" in os.environ:
        pytest.skip("these tests move the coordinator, so they start their own brokers")
    with Cluster() as running:
        yield running


class Member:
    async def assigned(self, partitions):
        pass

    async def revoked(self, partitions):
        pass

    async def lost(self, partitions):
        pass


async def joined(cluster, group, start_from):
    source = KafkaSource(
        cluster.connection, topics=["asked"], group_id=group, start_from=start_from
    )
    await source.start(Member())
    return source


async def leader_of(cluster, group):
    async with leaders._admin(cluster.connection) as admin:
        partitions = await leaders._describe(admin, ["__consumer_offsets"])
        number = group_partition(group, len(partitions))
        return partitions[Partition("__consumer_offsets", number)]["leader"]


async def rewind(source, partition):
    """Go on where the group goes on, as an owner does."""
    located = await source.locate(partition)
    source.seek(partition, located.offset)
    return located.offset


@pytest.mark.parametrize("start_from", ["earliest", "latest"])
async def test_only_the_coordinator_is_believed(start_from, cluster):
    await cluster.create("asked", partitions=2)
    group = f"asked-{start_from}"
    source = await joined(cluster, group, start_from)
    try:
        await rewind(source, PARTITION)
        await source.commit({PARTITION: CommittedOffset(7)})
        for node in cluster.nodes:
            # as if it had been the coordinator until now
            source._joined._coordinator.coordinator_id = node.number
            assert await rewind(source, PARTITION) == 7
            assert await source._joined.position(TopicPartition(*PARTITION)) == 7
        for _ in range(3):
            assert await keep_moving(cluster.connection, group, 0.1)
            assert await rewind(source, PARTITION) == 7
            # what was moved is the coordinator
            client = source._joined._client
            led = await leader_of(cluster, group)
            assert await client.coordinator_lookup(CoordinationType.GROUP, group) == led
    finally:
        await source.stop()


@pytest.mark.parametrize(
    ("group", "of_50"), [("", 0), ("a", 47), ("group-1", 49), ("polygenelubricants", 0), ("ü", 2)]
)
def test_a_groups_partition_is_the_one_that_kafka_chooses(group, of_50):
    """ "polygenelubricants" has the smallest hash there is, of which Kafka takes 0."""
    assert group_partition(group, 50) == of_50


async def test_a_coordinator_that_moves_breaks_no_promise(cluster, tmp_path):
    schedule = [Planned(1 + 12.0 * n, "move coordinator", 0.5 * (n % 2)) for n in range(3)]
    plan = Plan(
        *("exactly_once", 1),
        seconds=schedule[-1].after + 12,
        kinds=("move coordinator",),
        engines=("calm",),
        schedule=schedule,
    )
    report = await execute(plan, cluster, tmp_path)
    print(report)
    assert report.passed, f"\n{report}"
    # as "worker-0, 5 moves"
    moves = [int(fault.target.split()[1]) for fault in report.faults]
    assert len(moves) == len(schedule)
    assert sum(moves) > len(schedule)


async def test_a_worker_that_asks_the_wrong_brokers_keeps_its_promise(cluster, tmp_path):
    """Under the same trouble the mutant `believes-any-answer` breaks it."""
    mutant = MUTANTS["believes-any-answer"]
    plan = Plan(
        *("exactly_once", 1),
        seconds=mutant.seconds,
        rate=150,
        kinds=("kill worker",),
        engines=("calm",),
        schedule=mutant.schedule,
        mutant="misdirected",
    )
    report = await execute(plan, cluster, tmp_path)
    print(report)
    assert report.passed, f"\n{report}"
