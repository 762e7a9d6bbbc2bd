import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.operator.top.distributions import Distribution, Percentiles

INF = math.inf
bounds = st.lists(st.integers(1, 10_000), min_size=1, max_size=8, unique=True).map(sorted)


@st.composite
def distributions(draw):
    finite = [float(bound) for bound in draw(bounds)]
    counts = draw(st.lists(st.integers(0, 50), min_size=len(finite), max_size=len(finite)))
    return Distribution(
        {**dict(zip(finite, counts, strict=True)), INF: float(draw(st.integers(0, 50)))}
    )


def test_a_quantile_lies_evenly_within_its_bucket():
    spread = Distribution.of_cumulative({1.0: 0, 2.0: 50, 4.0: 90, INF: 100}, 0)
    assert spread.quantile(0.25) == 1.5
    assert spread.quantile(0.5) == 2.0
    assert spread.quantile(0.7) == 3.0
    assert spread.quantile(0.9) == 4.0


def test_the_first_bucket_begins_at_nothing():
    assert Distribution.of_cumulative({2.0: 10, INF: 10}, 0).quantile(0.5) == 1.0


def test_beyond_the_buckets_the_highest_bound_is_all_that_is_known():
    spread = Distribution.of_cumulative({1.0: 1, 5.0: 1, INF: 100}, 0)
    assert Percentiles.of(spread) == Percentiles(5.0, 5.0, 5.0, 5.0)


def test_nothing_observed_has_no_quantile():
    assert Distribution().quantile(0.5) is None
    assert Distribution({1.0: 0.0, INF: 0.0}).quantile(0.5) is None
    assert Distribution({INF: 3.0}).quantile(0.5) is None


def test_buckets_that_do_not_ascend_count_nothing_twice():
    spread = Distribution.of_cumulative({1.0: 5, 2.0: 3, 4.0: 6, INF: 6}, 0)
    assert spread.counts == {1.0: 5, 2.0: 0, 4.0: 1, INF: 0}


def test_workers_with_other_buckets_are_summed_as_well():
    both = Distribution.sum_of([Distribution({1.0: 4, INF: 0}, 2), Distribution({2.0: 4, INF: 0})])
    assert both.count == 8
    assert both.total == 2
    assert both.quantile(0.5) == 1.0
    assert both.quantile(0.75) == 1.5


@given(distributions(), st.lists(st.floats(0, 1), min_size=2, max_size=10).map(sorted))
def test_quantiles_never_fall_as_their_share_grows(spread, shares):
    if spread.count:
        found = [spread.quantile(share) for share in shares]
        assert found == sorted(found)


@given(distributions(), st.floats(0.001, 1))
def test_a_quantile_lies_within_the_bucket_of_its_rank(spread, share):
    if not spread.count:
        return
    below, lower = 0.0, 0.0
    for bound in sorted(spread.counts):
        below += spread.counts[bound]
        if below >= share * spread.count:
            break
        lower = bound
    found = spread.quantile(share)
    assert min(lower, spread.highest) <= found <= min(bound, spread.highest)


@given(distributions(), distributions(), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_of_a_sum_lies_between_those_of_its_parts(one, other, share):
    # with buckets in common: else where they lie within a bucket is guessed otherwise
    other = Distribution(dict(zip(one.counts, other.counts.values(), strict=False)))
    parts = [spread.quantile(share) for spread in (one, other) if spread.count]
    if len(parts) == 2:
        found = Distribution.sum_of([one, other]).quantile(share)
        assert min(parts) <= found + 1e-9
        assert found <= max(parts) + 1e-9


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_ends_are_the_ends_of_what_was_observed(share):
    spread = Distribution({1.0: 0, 2.0: 5, 3.0: 5, 4.0: 0, INF: 0})
    assert spread.quantile(share) == 1.0 + 2 * share
