"""Sizing: a case worked by hand, and what must hold for every load."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.operator.sizing.plan import Load, Queues, Speed, Terms, Tokens, gpu_seconds, plan

QUEUES = Queues(
    event_bytes=2048,
    records_per_partition=512,
    bytes_per_partition=16 << 20,
    total_bytes=256 << 20,
    in_flight=320,
)


def test_a_record_costs_its_own_tokens():
    tokens = Tokens(prompt=500, shared=100, completion=250)
    assert gpu_seconds(tokens, Speed(prefill=40_000, decode=10_000)) == pytest.approx(0.01 + 0.025)


def test_a_plan_is_what_the_pencil_says():
    # a replica takes 1 / 0.025 = 40 a second, 28 of them with 30 % free
    load = Load(average=100, peak=200, gpu_seconds_per_record=0.025)
    made = plan(load, Terms(price_per_gpu_hour=3.6, partitions=24), QUEUES)
    assert made.events_per_second_of_replica == pytest.approx(40)
    assert (made.gpus_busy_average, made.gpus_busy_peak) == pytest.approx((2.5, 5.0))
    # 100 / 28 = 3.6 and 200 / 28 = 7.1
    assert (made.replicas_average, made.replicas_peak, made.gpus) == (4, 8, 8)
    assert made.utilisation_average == pytest.approx(100 / 320)
    assert made.utilisation_busiest == made.utilisation_peak == pytest.approx(200 / 320)
    # 60,000 records, worked off at 320 - 100 a second
    assert made.catch_up_seconds == pytest.approx(60_000 / 220)
    # 4 replicas take 160 of the 200; 180 s later 7,200 records wait for 8 replicas
    assert made.jump_age_seconds == pytest.approx(7200 / 320)
    # with one: (200 - 40) * 180 / 320 = 90 s; with three: 45 s
    assert made.replicas_least == 3
    assert made.backlog_per_replica_gpu_seconds == 60
    assert made.lag_per_replica_records == pytest.approx(2400)
    # three partitions a replica, 512 records of 2 KiB each, and 320 in flight
    assert made.queue_bytes_per_replica == (3 * 512 + 320) * 2048
    # 25,000 GPU-seconds are 6.94 hours, at 30 % free 9.92; eight GPUs for 10,000 s are 22.2
    assert made.price_per_million_scaled == pytest.approx(25_000 / 3600 / 0.7 * 3.6)
    assert made.price_per_million_fixed == pytest.approx(8 * 10_000 / 3600 * 3.6)


def test_too_few_partitions_are_told():
    load = Load(average=100, peak=200, gpu_seconds_per_record=0.025)
    made = plan(load, Terms(partitions=4), QUEUES)
    assert made.more_partitions_needed
    assert (made.replicas_usable, made.partitions_least) == (4, 8)
    # 160 of 200 a second: the lag of the peak has no end
    assert made.utilisation_peak > 1
    assert made.jump_age_seconds == math.inf
    assert made.replicas_least == 4


def test_uneven_partitions_make_one_replica_busier():
    # 8 replicas hold 12 partitions: some two, some one
    load = Load(average=100, peak=200, gpu_seconds_per_record=0.025)
    made = plan(load, Terms(partitions=12), QUEUES)
    assert made.utilisation_busiest == pytest.approx(made.utilisation_peak * 2 / 1.5)


def test_a_large_event_is_bounded_by_bytes():
    load = Load(average=1, peak=1, gpu_seconds_per_record=0.025)
    made = plan(load, Terms(partitions=64), replace(QUEUES, event_bytes=1 << 20, in_flight=0))
    assert made.queue_bytes_per_replica == 256 << 20


rates = st.floats(0.01, 1e5)
loads = st.builds(
    lambda average, more, cost: Load(average, average * more, cost),
    rates,
    st.floats(1, 10),
    st.floats(1e-4, 10),
)
terms = st.builds(
    Terms,
    headroom=st.floats(0, 0.9),
    target_age_seconds=st.floats(1, 3600),
    outage_seconds=st.floats(0, 1e5),
    start_seconds=st.floats(0, 3600),
    gpus_per_replica=st.integers(1, 8),
    partitions=st.none() | st.integers(1, 1000),
    price_per_gpu_hour=st.floats(0, 100),
)


@given(loads, terms)
def test_a_plan_holds_what_it_says(load, terms):
    made = plan(load, terms, QUEUES)
    assert 1 <= made.replicas_least <= made.replicas_usable <= made.replicas_peak
    assert made.replicas_average <= made.replicas_peak
    if terms.partitions is not None:
        assert made.replicas_usable <= terms.partitions
        assert made.more_partitions_needed == (made.replicas_peak > terms.partitions)
    if not made.more_partitions_needed:
        assert made.utilisation_peak <= 1 - terms.headroom + 1e-6
        # one fewer would not do
        if made.replicas_peak > 1:
            fewer = (made.replicas_peak - 1) * made.events_per_second_of_replica
            assert load.peak > fewer * (1 - terms.headroom) * (1 - 1e-6)
    assert made.utilisation_average <= made.utilisation_peak <= made.utilisation_busiest + 1e-9
    assert made.price_per_million_scaled >= 0


@given(loads, terms, st.floats(1, 10))
def test_more_load_never_asks_for_less(load, terms, more):
    made = plan(load, terms, QUEUES)
    heavier = [
        replace(load, average=load.average * more, peak=load.peak * more),
        replace(load, peak=load.peak * more),
        replace(load, gpu_seconds_per_record=load.gpu_seconds_per_record * more),
    ]
    for other in heavier:
        then = plan(other, terms, QUEUES)
        assert then.replicas_peak >= made.replicas_peak
        assert then.replicas_usable >= made.replicas_usable
        assert then.partitions_least >= made.partitions_least
        assert then.gpus_busy_peak >= made.gpus_busy_peak


@given(loads, terms, st.floats(0, 1e5))
def test_a_longer_outage_takes_longer(load, terms, more):
    made = plan(load, terms, QUEUES)
    longer = replace(terms, outage_seconds=terms.outage_seconds + more)
    assert plan(load, longer, QUEUES).catch_up_seconds >= made.catch_up_seconds


@given(loads, terms)
def test_the_least_replicas_keep_the_target_at_a_jump(load, terms):
    made = plan(load, terms, QUEUES)
    capacity = made.replicas_usable * made.events_per_second_of_replica
    if capacity < load.peak:
        assert made.replicas_least == made.replicas_usable
        return
    missing = load.peak - made.replicas_least * made.events_per_second_of_replica
    waits = max(missing, 0) * terms.start_seconds / capacity
    assert waits <= terms.target_age_seconds * (1 + 1e-6)
