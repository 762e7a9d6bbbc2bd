"""Lag as work: what the figures are when they are known, and what they say when not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.flow.workload import Counts, Workload


def after(*steps, devices=1):
    """A workload that has seen steps of (judged, settled, busy seconds, how full)."""
    workload = Workload(devices)
    judged, settled, busy, full = 0, 0, 0.0, 0.0
    workload.observe(Counts(judged, settled, busy, full))
    for more_judged, more_settled, seconds, share in steps:
        judged, settled = judged + more_judged, settled + more_settled
        busy, full = busy + seconds, full + seconds * share
        workload.observe(Counts(judged, settled, busy, full))
    return workload


def test_nothing_is_known_before_something_was_done():
    workload = after()
    assert workload.lag_seconds(0) == 0.0
    assert workload.lag_seconds(10) == math.inf
    assert workload.gpu_seconds(10) == 0.0


def test_rate_and_cost_follow_from_the_engines_time():
    workload = after((100, 80, 10.0, 1.0), devices=2)
    assert workload.lag_seconds(400) == pytest.approx(400 / 8)
    assert workload.gpu_seconds(400) == pytest.approx(400 * 0.1 * 2)


def test_an_engine_that_is_not_full_bounds_the_cost():
    alone, full = (10, 10, 10.0, 0.01), (1000, 1000, 10.0, 1.0)
    assert after(alone).gpu_seconds(1) == pytest.approx(1.0)
    assert after(alone, (100, 100, 10.0, 0.5)).gpu_seconds(1) == pytest.approx(0.1)
    # what a full engine took is not forgotten when it runs dry
    assert after(*10 * [full], *100 * [alone]).gpu_seconds(1) == after(full).gpu_seconds(1)
    assert after(*10 * [full], *100 * [alone]).lag_seconds(100) == after(full).lag_seconds(100)


def test_a_full_engine_measures_it_again():
    workload = after((1000, 1000, 10.0, 1.0), *100 * [(100, 100, 10.0, 0.9)])
    assert workload.gpu_seconds(1) == pytest.approx(0.1, rel=0.01)


def test_idleness_changes_nothing():
    busy = (50, 50, 10.0, 1.0)
    assert after(busy).lag_seconds(100) == after(busy, (0, 0, 0.0, 0.0)).lag_seconds(100)


def test_a_stall_makes_the_lag_longer():
    busy = (100, 100, 10.0, 1.0)
    assert after(busy, (0, 0, 60.0, 1.0)).lag_seconds(100) > after(busy).lag_seconds(100)


step = st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 1000), st.floats(0, 1))


@given(st.lists(step, max_size=20), st.integers(0, 10**9))
def test_figures_are_never_negative_nor_less_for_more(steps, lag):
    workload = after(*steps)
    assert 0 <= workload.lag_seconds(lag) <= workload.lag_seconds(lag + 1)
    assert 0 <= workload.gpu_seconds(lag) <= workload.gpu_seconds(lag + 1)
