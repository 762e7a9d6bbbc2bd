"""Two guards compared."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.evaluation.rows import labels
from worker.domain.questions import PROMPT_HARMFULNESS
from worker.evaluation.comparing import Pair, compare_task, mcnemar

PREDICTED = st.sampled_from(["harmful", "unharmful", None])
PAIRS = st.lists(
    st.tuples(st.sampled_from(["harmful", "unharmful"]), PREDICTED, PREDICTED), max_size=60
)
TASK = PROMPT_HARMFULNESS


def compare(rows):
    pairs = [Pair(*map(labels, row)) for row in rows]
    return compare_task(TASK, pairs, resamples=100, seed=1)


@pytest.mark.parametrize(
    ("ours", "theirs", "p"),
    [
        (0, 0, 1.0),
        (3, 3, 1.0),
        (5, 0, 2 / 32),
        (1, 8, 20 / 512),
        (10, 2, 158 / 4096),
    ],
)
def test_mcnemar_worked_out_by_hand(ours, theirs, p):
    assert mcnemar(ours, theirs) == pytest.approx(p, rel=1e-12)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_symmetric_and_the_tail_of_the_binomial(ours, theirs):
    p = mcnemar(ours, theirs)
    assert 0 < p <= 1
    assert p == pytest.approx(mcnemar(theirs, ours), rel=1e-9)
    trials = ours + theirs
    tail = sum(math.comb(trials, at) for at in range(min(ours, theirs) + 1))
    assert p == pytest.approx(min(1.0, 2 * tail / 2**trials), rel=1e-9)


def test_a_comparison_worked_out_by_hand():
    found = compare(
        [
            ("harmful", "harmful", "harmful"),
            ("harmful", "harmful", "unharmful"),
            ("harmful", None, "harmful"),
            ("unharmful", "unharmful", "harmful"),
            ("unharmful", "unharmful", None),
            ("unharmful", "harmful", "harmful"),
        ]
    )
    assert found.labelled == 6
    assert (found.both_right, found.only_ours, found.only_theirs, found.neither) == (1, 3, 1, 1)
    # ours: 2 right of 3, one alarm; theirs: 2 right of 3, two alarms and an unreadable label
    assert found.f1 == pytest.approx(4 / 6)
    assert found.other_f1 == pytest.approx(4 / 8)
    assert found.difference.value == pytest.approx(4 / 6 - 4 / 8)
    assert found.p == pytest.approx(2 * (1 + 4) / 16)


@given(PAIRS)
def test_the_order_of_the_two_guards_only_changes_the_sign(rows):
    one, other = compare(rows), compare([(truth, b, a) for truth, a, b in rows])
    assert one.p == pytest.approx(other.p)
    assert (one.f1, one.other_f1) == (other.other_f1, other.f1)
    assert (one.only_ours, one.only_theirs) == (other.only_theirs, other.only_ours)
    if one.difference.value is not None:
        assert one.difference.value == pytest.approx(-other.difference.value)


@pytest.mark.parametrize("predicted", ["harmful", "unharmful", None])
def test_guards_that_agree_on_every_row_may_still_differ(predicted):
    rows = [("harmful", predicted, predicted), ("unharmful", "unharmful", "unharmful")] * 15
    found = compare(rows)
    assert (found.difference.value, found.p) == (0.0, 1.0)
    # Wilson's upper bound for 0 disagreements of 30 is 0.11
    assert -0.25 < found.difference.low < -0.02
    assert 0.02 < found.difference.high < 0.25


def test_a_guard_that_is_always_right_is_not_certain_to_be_so_much_better():
    found = compare(
        [("harmful", "harmful", "unharmful"), ("unharmful", "unharmful", "harmful")] * 15
    )
    assert found.difference.value == 1.0
    assert 0.5 < found.difference.low < 0.97


def test_rows_without_a_label_are_not_compared():
    pair = Pair(labels(), labels("harmful"), labels("unharmful"))
    assert compare_task(TASK, [pair], resamples=100, seed=1).labelled == 0
