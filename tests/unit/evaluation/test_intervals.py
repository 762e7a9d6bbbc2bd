"""Intervals, against figures that are known and against coverage."""

import math
import random
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.questions import PROMPT_HARMFULNESS
from worker.evaluation.intervals import Estimate, bootstrap, f1, proportion
from worker.evaluation.scoring import Confusion, strict

COUNTS = st.lists(st.integers(0, 40), min_size=6, max_size=6)
UNDEFINED = Estimate(None, None, None)


def macro_f1(counts):
    return strict(Confusion(PROMPT_HARMFULNESS, counts)).macro_f1


def macro_interval(counts, *, resamples=1000, seed=1):
    return bootstrap(counts, macro_f1, labels=2, resamples=resamples, seed=seed)


def wilson(part, whole, z=1.959963984540054):
    """The interval by its formula, as textbooks have it."""
    share, squared = part / whole, z * z
    middle = share + squared / (2 * whole)
    half = z * math.sqrt(share * (1 - share) / whole + squared / (4 * whole * whole))
    return (middle - half) / (1 + squared / whole), (middle + half) / (1 + squared / whole)


def test_thirty_of_thirty_is_not_certain():
    assert proportion(30, 30).value == 1.0
    assert proportion(30, 30).low == pytest.approx(0.8865, abs=5e-5)
    assert proportion(30, 30).high == 1.0
    assert proportion(0, 30).low == 0.0
    assert proportion(0, 30).high == pytest.approx(0.1135, abs=5e-5)
    assert f1(30, 0).low == pytest.approx(2 * 0.8865 / 1.8865, abs=5e-5)
    assert f1(0, 30).high == pytest.approx(2 * 0.1135 / 1.1135, abs=5e-5)
    assert macro_interval([15, 0, 0, 0, 15, 0]).low == pytest.approx(0.89, abs=0.03)


@given(st.integers(1, 10_000), st.data())
def test_a_proportion_has_wilsons_interval(whole, data):
    part = data.draw(st.integers(0, whole))
    found = proportion(part, whole)
    assert (found.low, found.high) == pytest.approx(wilson(part, whole), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_f1_is_the_score_and_lies_in_its_interval(hits, mistakes):
    found = f1(hits, mistakes)
    assert found.value == strict(Confusion(PROMPT_HARMFULNESS, (hits, 0, 0, mistakes, 0, 0))).f1
    if found.value is not None:
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert found.low < found.high


def test_where_nothing_was_counted_there_is_no_figure():
    assert proportion(0, 0) == UNDEFINED
    assert f1(0, 0) == UNDEFINED
    assert macro_interval([0] * 6) == UNDEFINED


@pytest.mark.parametrize(
    "chances", [(0.49, 0.01, 0.01, 0.49), (0.4, 0.1, 0.1, 0.4), (0.09, 0.01, 0.02, 0.88)]
)
@pytest.mark.parametrize("rows", [30, 300])
def test_the_interval_of_f1_holds_the_true_one_in_about_95_of_100_samples(chances, rows):
    samples = np.random.default_rng(5).multinomial(rows, chances, size=2000)
    hit, miss, alarm, _ = chances
    true = 2 * hit / (2 * hit + miss + alarm)
    found = [f1(int(hits), int(misses + alarms)) for hits, misses, alarms, _ in samples]
    defined = [one for one in found if one.value is not None]
    assert 0.92 < sum(one.low <= true <= one.high for one in defined) / len(defined) < 0.99


@pytest.mark.parametrize(
    ("chances", "rows"),
    [((0.48, 0.02, 0.02, 0.48), 30), ((0.49, 0.01, 0.01, 0.49), 100), ((0.4, 0.1, 0.1, 0.4), 100)],
)
def test_the_bootstrap_holds_the_true_figure_even_of_a_guard_that_is_nearly_always_right(
    chances, rows
):
    samples = np.random.default_rng(5).multinomial(rows, chances, size=200)
    hit, miss, alarm, rest = chances
    true = macro_f1([hit, miss, 0, alarm, rest, 0])
    found = [macro_interval([a, b, 0, c, d, 0], resamples=200) for a, b, c, d in samples.tolist()]
    # without the added rows it is 0.69, 0.85 and 0.96
    assert sum(one.low <= true <= one.high for one in found) / len(found) > 0.91


def test_counts_resample_as_rows_do():
    counts = [300, 80, 20, 60, 500, 40]
    ours = macro_interval(counts, resamples=4000)
    draw = random.Random(2)
    rows = [at for at, count in enumerate(counts) for _ in range(count)]
    drawn = (Counter(draw.choices(rows, k=len(rows))) for _ in range(2000))
    theirs = sorted(macro_f1([seen[at] for at in range(6)]) for seen in drawn)
    assert ours.low == pytest.approx(theirs[50], abs=0.005)
    assert ours.high == pytest.approx(theirs[1949], abs=0.005)


def test_the_bootstrap_of_a_share_is_the_binomial_one():
    # of 1,000 rows 500 are hits: the exact 2.5 and 97.5 percentiles are 469 and 531
    share = bootstrap([500, 500], lambda c: c[0] / 1000, labels=1, resamples=20_000, seed=3)
    assert share.low == pytest.approx(0.469, abs=0.002)
    assert share.high == pytest.approx(0.531, abs=0.002)


def test_a_label_without_rows_is_not_drawn():
    drawn = []
    bootstrap([9, 0, 1, 0, 0, 0], lambda c: drawn.append(c) or 0.5, labels=2, resamples=200, seed=1)
    assert all(sum(counts) == 10 for counts in drawn)
    assert all(sum(counts[3:]) == 0 for counts in drawn)
    # a cell that no row is in can be drawn
    assert any(counts[1] for counts in drawn)


@given(COUNTS, st.integers(0, 2**32))
def test_an_interval_holds_its_figure_and_can_be_repeated(counts, seed):
    found = macro_interval(counts, resamples=40, seed=seed)
    if found.value is not None:
        assert 0 <= found.low <= found.value <= found.high <= 1
    assert macro_interval(counts, resamples=40, seed=seed) == found


def test_an_interval_holds_a_figure_that_hardly_any_resample_has():
    counts = [5, 5, 5, 5]
    found = bootstrap(counts, lambda c: float(list(c) == counts), labels=1, resamples=40, seed=1)
    assert found == Estimate(1.0, 0.0, 1.0)


def test_ten_thousand_rows_are_quick():
    began = time.process_time()
    for _ in range(3):
        macro_interval([4500, 300, 50, 200, 4900, 50])
    assert time.process_time() - began < 2
