"""Short runs of the harness, and the proof that it sees a broken worker."""

import asyncio
import itertools
import os

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.mutants import MUTANTS
from tests.chaos.run import Plan, execute
from worker.runtime.settings import load_settings
from worker.runtime.worker import Worker

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


# those that trouble only their own workers share the cluster, and the time
TOGETHER = [["unawaited-deliveries"], ["commit-before-produce", "no-fencing", "stale-epoch"]]
TOGETHER += [["believes-any-answer"]]


@pytest.fixture(scope="module")
def cluster():
    if "GUARDSTREAM_TEST_BOOTSTRAP_SERVERS" in os.environ:
        pytest.skip("these tests kill brokers, so they start their own")
    with Cluster() as running:
        yield running


# seeds that draw most kinds of faults in so short a time
@pytest.mark.parametrize(
    ("guarantee", "seed", "staged"),
    [("exactly_once", 427, True), ("at_least_once", 759, False)],
)
async def test_every_promise_is_kept(guarantee, seed, staged, cluster, tmp_path):
    plan = Plan(guarantee, seed=seed, seconds=25, rate=60, every_seconds=2, staged=staged)
    report = await execute(plan, cluster, tmp_path)
    print(report)
    assert report.passed, f"\n{report}"
    assert report.records.total() > 500
    assert len(report.faults) >= 8


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_worker_starts_while_a_broker_is_down(guarantee, cluster):
    """aiokafka's admin client asks any broker that it knows, also one that is down."""
    names = [f"start-{guarantee}-{what}" for what in ("events", "verdicts", "dead")]
    for name in names:
        await cluster.create(name, partitions=3)
    settings = load_settings(
        kafka={"bootstrap_servers": cluster.connection.bootstrap_servers},
        input={"topics": names[:1], "group_id": f"start-{guarantee}"},
        output={"verdict_topic": names[1], "dead_letter_topic": names[2]},
        delivery={"guarantee": guarantee},
        engine={"kind": "simulated"},
        health={"port": 0},
    )
    cluster.kill(3)
    try:
        for _ in range(5):
            worker = Worker(settings)
            running = asyncio.create_task(worker.run())
            async with asyncio.timeout(120):
                while worker.held < 3 and not running.done():
                    await asyncio.sleep(0.1)
            held = worker.held
            worker.stop()
            await running
            assert held == 3
    finally:
        cluster.restart(3)


@pytest.mark.parametrize("names", TOGETHER, ids=", ".join)
async def test_broken_workers_are_found_out(names, cluster, tmp_path):
    await asyncio.gather(*(find_out(name, cluster, tmp_path) for name in names))


async def find_out(name, cluster, tmp_path):
    mutant = MUTANTS[name]
    # a slow machine can let the moment pass in which the break shows, but not every time
    for seed in (1, 2, 3):
        plan = Plan(
            mutant.guarantee,
            seed=seed,
            seconds=mutant.seconds,
            rate=150,
            kinds=("kill worker", "kill broker", "freeze worker"),
            engines=("calm",),
            schedule=mutant.schedule,
            mutant=name,
            settle_seconds=60,
            settings=dict(mutant.settings),
            named=False,
            staged=False,
        )
        logs = tmp_path / name / str(seed)
        logs.mkdir(parents=True)
        report = await execute(plan, cluster, logs)
        print(report)
        if report.counts()[mutant.seen_as]:
            break
    assert report.counts()[mutant.seen_as] > 0, f"\n{report}"
    assert any(incident.fault is not None for incident in report.incidents)


def test_every_break_is_tried():
    assert sorted(itertools.chain(*TOGETHER)) == sorted(MUTANTS)
