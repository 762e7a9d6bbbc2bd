"""Lag as work: what the figures are when they are known, and what they say when not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.workload import Counts, Workload


def test_nothing_is_known_before_something_was_done():
    workload = Workload()
    workload.observe(Counts(0, 0, 0.0))
    assert workload.lag_seconds(0) == 0.0
    assert workload.lag_seconds(10) == math.inf
    assert workload.gpu_seconds(10) == 0.0


def test_rate_and_cost_follow_from_the_engines_time():
    workload = Workload(devices=2)
    workload.observe(Counts(0, 0, 0.0))
    # idle half of the time: what it could do is told by the other half
    workload.observe(Counts(100, 80, 10.0))
    assert workload.lag_seconds(400) == pytest.approx(400 / 8)
    assert workload.gpu_seconds(400) == pytest.approx(400 * 0.1 * 2)


def test_idleness_changes_nothing():
    workload = Workload()
    workload.observe(Counts(0, 0, 0.0))
    workload.observe(Counts(50, 50, 10.0))
    before = workload.lag_seconds(100), workload.gpu_seconds(100)
    workload.observe(Counts(50, 50, 10.0))
    assert (workload.lag_seconds(100), workload.gpu_seconds(100)) == before


def test_a_stall_makes_the_lag_longer():
    workload = Workload()
    workload.observe(Counts(0, 0, 0.0))
    workload.observe(Counts(100, 100, 10.0))
    before = workload.lag_seconds(100)
    workload.observe(Counts(100, 100, 70.0))
    assert workload.lag_seconds(100) > before


@given(
    st.lists(
        st.tuples(st.floats(0, 1000), st.integers(0, 1000), st.integers(0, 1000)), max_size=20
    ),
    st.integers(0, 10**9),
)
def test_figures_are_never_negative_nor_less_for_more(steps, lag):
    workload = Workload()
    judged, settled, busy = 0, 0, 0.0
    for seconds, more_judged, more_settled in steps:
        judged, settled, busy = (
            judged + more_judged,
            settled + more_settled,
            busy + seconds / 2,
        )
        workload.observe(Counts(judged, settled, busy))
        assert 0 <= workload.lag_seconds(lag) <= workload.lag_seconds(lag + 1)
        assert 0 <= workload.gpu_seconds(lag) <= workload.gpu_seconds(lag + 1)
