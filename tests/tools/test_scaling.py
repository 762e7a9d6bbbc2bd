"""The simulation of scaling: Kubernetes' arithmetic by hand, and nothing lost or made up.

The cases come from https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
(sections Algorithm details, Scaling policies, Stabilization window, Default Behavior) and, for the
`kafka` trigger, from https://keda.sh/docs/latest/scalers/apache-kafka/.
"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scaling.autoscaler import (
    DOWN,
    UP,
    Autoscaler,
    Policy,
    Rules,
    Target,
    kafka_lag,
    wish,
)
from benchmarks.scaling.day import Script
from benchmarks.scaling.engine import Cohort, Engine, PartitionQueue, shares
from benchmarks.scaling.fleet import Fleet, Habits
from benchmarks.scaling.simulation import Scaling, World, simulate

AT_ONCE = Rules(0.0, (Policy("Percent", 1000, 15.0),))


def wished(mean, target, replicas):
    """The wish where the mean over replicas is known, as the documentation tells it."""
    return wish([Target(mean * replicas, target)], replicas)


def test_twice_the_target_doubles_and_half_of_it_halves():
    assert wished(200, 100, 4) == 8
    assert wished(50, 100, 4) == 2


def test_within_a_tenth_of_the_target_nothing_happens():
    assert wished(109, 100, 10) == 10
    assert wished(91, 100, 10) == 10
    assert wished(112, 100, 10) == 12


def test_of_several_metrics_the_one_that_asks_for_most_counts():
    assert wish([Target(300, 100), Target(50, 10)], 2) == 5


def test_kafkas_trigger_asks_for_no_more_than_partitions():
    # ten partitions, a threshold of ten: 51 to 60 ask for 6, a million for 10
    assert wish([kafka_lag(55, 10, 10)], 1) == 6
    assert wish([kafka_lag(1_000_000, 10, 10)], 1) == 10


def test_growing_unrestrained_adds_four_or_doubles_every_15_seconds():
    autoscaler, replicas, seen = Autoscaler(1, 100), 1, []
    for step in range(4):
        replicas = autoscaler.decide(15.0 * step, replicas, 100)
        seen.append(replicas)
    assert seen == [5, 10, 20, 40]


def test_shrinking_by_a_tenth_or_four_a_minute():
    # 80 replicas are to become 10: first 8 go, of 72 again 8 (7.2 rounded up), below 40 four
    down = Rules(0.0, (Policy("Pods", 4, 60.0), Policy("Percent", 10, 60.0)))
    autoscaler, replicas, seen = Autoscaler(1, 100, down=down), 80, []
    for step in range(12):
        replicas = autoscaler.decide(60.0 * step, replicas, 10)
        seen.append(replicas)
    assert seen == [72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16]


def test_a_period_counts_what_was_done_within_it():
    down = Rules(0.0, (Policy("Pods", 4, 60.0),))
    autoscaler = Autoscaler(1, 100, down=down)
    assert [autoscaler.decide(15.0 * n, 80 if n == 0 else 76, 10) for n in range(4)] == [76] * 4
    assert autoscaler.decide(60.0, 76, 10) == 72


def test_the_smallest_change_where_min_is_selected():
    down = Rules(0.0, (Policy("Percent", 10, 60.0), Policy("Pods", 5, 60.0)), "Min")
    assert Autoscaler(1, 100, down=down).decide(0.0, 80, 10) == 75
    assert Autoscaler(1, 100, down=down).decide(0.0, 40, 10) == 36


def test_a_direction_can_be_disabled():
    down = Rules(0.0, (), "Disabled")
    assert Autoscaler(1, 100, down=down).decide(0.0, 80, 10) == 80


def test_shrinking_waits_for_the_highest_wish_of_the_window():
    autoscaler = Autoscaler(1, 100, up=AT_ONCE, down=DOWN)
    assert autoscaler.decide(0.0, 10, 10) == 10
    assert [autoscaler.decide(at, 10, 3) for at in (15.0, 150.0, 285.0)] == [10, 10, 10]
    assert autoscaler.decide(300.0, 10, 5) == 5


def test_growing_waits_for_the_lowest_wish_of_its_window():
    autoscaler = Autoscaler(1, 100, up=Rules(60.0, UP.policies))
    assert autoscaler.decide(0.0, 4, 4) == 4
    assert [autoscaler.decide(at, 4, 9) for at in (15.0, 30.0, 45.0)] == [4, 4, 4]
    assert autoscaler.decide(60.0, 4, 6) == 6


@given(st.lists(st.integers(0, 500), min_size=1, max_size=50), st.integers(1, 5))
def test_replicas_stay_between_least_and_most(wishes, least):
    autoscaler, replicas = Autoscaler(least, 40), least
    for n, one in enumerate(wishes):
        replicas = autoscaler.decide(15.0 * n, replicas, one)
        assert least <= replicas <= 40


def test_an_engine_is_as_fast_as_its_prompts_let_it():
    engine = Engine(places=256, idle_share=0.15)
    assert engine.speed(0) == 0
    assert engine.speed(256) == engine.speed(500) == pytest.approx(1)
    assert engine.speed(engine.prompts_at(0.7)) == pytest.approx(0.7)


@given(st.floats(0, 300), st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_places_are_dealt_out_fairly(places, wanted):
    given_ = shares(places, wanted)
    assert sum(given_) == pytest.approx(min(places, sum(wanted)))
    assert all(got <= want for got, want in zip(given_, wanted, strict=True))
    short = [got for got, want in zip(given_, wanted, strict=True) if got < want - 1e-9]
    assert all(got >= max(given_) - 1e-6 for got in short)


def test_a_queue_does_the_oldest_first_and_charges_what_it_costs():
    queue = PartitionQueue()
    queue.put(Cohort(0.0, 10, 0.5))
    queue.put(Cohort(1.0, 10, 2.0))
    done = queue.work(9.0, math.inf)
    assert [(c.arrived_at, c.records) for c in done] == [(0.0, 10), (1.0, 2.0)]
    assert queue.records == sum(cohort.records for cohort in queue.cohorts) == 8


def test_a_new_worker_judges_after_its_start_and_everybody_rests_meanwhile():
    habits = Habits(start_seconds=10, drain_seconds=20, rebalance_seconds=5)
    fleet = Fleet(4, 1, Engine(places=10), habits)
    for queue in fleet.queues:
        queue.put(Cohort(0.0, 1000, 1.0))
    fleet.scale(2, 0.0)
    done = [sum(c.records for c in fleet.step(float(at), 1.0)) for at in range(18)]
    assert done[:10] == pytest.approx([1.0] * 10)
    assert done[10:15] == [0.0] * 5
    assert done[15:] == pytest.approx([2.0] * 3)


def test_a_worker_that_ends_finishes_what_is_in_flight_and_no_more():
    habits = Habits(start_seconds=0, drain_seconds=20, rebalance_seconds=0)
    fleet = Fleet(2, 2, Engine(places=4), habits)
    for queue in fleet.queues:
        queue.put(Cohort(0.0, 1000, 1.0))
    fleet.step(0.0, 1.0)
    fleet.scale(1, 1.0)
    held = fleet.gpu_seconds
    for at in range(1, 30):
        fleet.step(float(at), 1.0)
    # four records in flight take it some seconds; its GPU is paid for until then
    assert 29 < fleet.gpu_seconds - held < 29 + 20
    assert fleet.joined == 1


@pytest.mark.parametrize("metric", ["lag", "backlog"])
def test_what_came_in_went_out_or_waits(metric):
    world = World(
        script=Script(jump_from=0.5, jump_hours=0.25, jump_times=4.0),
        partitions=6,
        seconds=5400.0,
    )

    def targets(seen):
        if metric == "lag":
            return [kafka_lag(seen.lag, 1000, world.partitions)]
        return [Target(seen.told.backlog_gpu_seconds, 60)]

    day = simulate(world, Scaling(metric, targets, 1, 6))
    assert day.came > 300_000
    assert day.came == pytest.approx(day.went + day.left)
    assert sum(day.ages.values()) == pytest.approx(day.went)
    assert day.changes > 0
    # a GPU does no more than a GPU can
    assert day.went * world.script.short_cost < day.gpu_hours * 3600
    assert simulate(world, Scaling(metric, targets, 1, 6)) == day
