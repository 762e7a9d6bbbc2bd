"""The bootstrap over counts, against distributions that are known exactly."""

import math
import random
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.evaluation.resampling import Estimate, binomial, estimates, multinomial
from worker.evaluation.scoring import Confusion, strict

COUNTS = st.lists(st.integers(0, 40), min_size=6, max_size=6)


def f1(counts):
    return (strict(Confusion(*counts)).f1,)


@pytest.mark.parametrize(("trials", "part", "whole"), [(1, 1, 3), (7, 2, 5), (12, 11, 12)])
def test_draws_have_the_binomial_distribution(trials, part, whole):
    draw, count, chance = random.Random(7), 20_000, part / whole
    seen = Counter(binomial(draw, trials, part, whole) for _ in range(count))
    for successes in range(trials + 1):
        exact = math.comb(trials, successes) * chance**successes
        exact *= (1 - chance) ** (trials - successes)
        # five standard errors
        assert abs(seen[successes] / count - exact) < 5 * math.sqrt(exact / count) + 1e-9


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(1, 30), st.integers(0, 2**32))
def test_draws_at_the_ends_are_certain(trials, whole, seed):
    assert binomial(random.Random(seed), trials, 0, whole) == 0
    assert binomial(random.Random(seed), trials, whole, whole) == trials


@settings(deadline=None)
@given(COUNTS, st.integers(0, 2**32))
def test_a_resample_has_as_many_rows_and_none_of_an_empty_cell(counts, seed):
    drawn = multinomial(random.Random(seed), counts)
    assert sum(drawn) == sum(counts)
    assert all(count or not seen for count, seen in zip(counts, drawn, strict=True))


def test_counts_resample_as_rows_do():
    counts = [30, 8, 2, 6, 50, 4]
    (ours,) = estimates(counts, f1, resamples=4000, seed=1)
    draw = random.Random(2)
    rows = [at for at, count in enumerate(counts) for _ in range(count)]
    drawn = (Counter(draw.choices(rows, k=len(rows))) for _ in range(4000))
    theirs = sorted(f1([seen[at] for at in range(6)])[0] for seen in drawn)
    assert ours.low == pytest.approx(theirs[100], abs=0.01)
    assert ours.high == pytest.approx(theirs[3899], abs=0.01)


def test_the_interval_of_a_share_is_the_binomial_one():
    # of 100 rows 50 are hits: exact 2.5 and 97.5 percentiles are 40 and 60
    (share,) = estimates([50, 50], lambda c: (c[0] / 100,), resamples=20_000, seed=3)
    assert (share.low, share.high) == (0.4, 0.6)


@settings(deadline=None, max_examples=50)
@given(COUNTS, st.integers(0, 2**32))
def test_an_interval_holds_its_figure_and_comes_again(counts, seed):
    (found,) = estimates(counts, f1, resamples=40, seed=seed)
    if found.value is not None:
        assert 0 <= found.low <= found.value <= found.high <= 1
    assert estimates(counts, f1, resamples=40, seed=seed) == [found]


def test_an_interval_holds_a_figure_that_hardly_any_resample_has():
    counts = [5, 5, 5, 5]
    (found,) = estimates(counts, lambda c: (float(list(c) == counts),), resamples=40, seed=1)
    assert found == Estimate(1.0, 0.0, 1.0)


def test_where_nothing_was_counted_there_is_no_figure():
    assert estimates([0] * 6, f1, resamples=100, seed=1) == [Estimate(None, None, None)]


def test_ten_thousand_rows_are_quick():
    began = time.process_time()
    estimates([4500, 300, 50, 200, 4900, 50], f1, resamples=1000, seed=1)
    assert time.process_time() - began < 2
