"""Figures against numbers worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.evaluation.rows import labels
from worker.domain.questions import (
    PROMPT_HARMFULNESS,
    RESPONSE_HARMFULNESS,
    RESPONSE_REFUSAL,
    STANDARD_QUESTIONS,
    Question,
)
from worker.evaluation.scoring import Confusion, Tally, lenient, strict


def confusion(*counts):
    """Of a question with two labels: of positive rows, then of negative ones."""
    return Confusion(PROMPT_HARMFULNESS, counts)


COUNTS = st.tuples(*[st.integers(0, 50)] * 6).map(lambda counts: confusion(*counts))
LEVELS = Question("level", "prompt", ("low", "medium", "high"), "high")


def test_figures_worked_out_by_hand():
    # of ten harmful: six seen, three missed, one unreadable; of ten others: two, seven, one
    counts = confusion(6, 3, 1, 2, 7, 1)
    assert (counts.labelled, counts.support, counts.unreadable) == (20, 10, 2)
    found = strict(counts)
    assert found.precision == pytest.approx(6 / 9)
    assert found.recall == pytest.approx(6 / 10)
    assert found.f1 == pytest.approx(12 / 19)
    # the other label: 7 hits, 4 false alarms and 3 misses
    assert found.macro_f1 == pytest.approx((12 / 19 + 14 / 21) / 2)
    found = lenient(counts)
    assert found.precision == pytest.approx(6 / 8)
    assert found.recall == pytest.approx(6 / 9)
    assert found.f1 == pytest.approx(12 / 17)
    assert found.macro_f1 == pytest.approx((12 / 17 + 14 / 19) / 2)


@pytest.mark.parametrize(
    ("counts", "precision", "recall", "f1", "macro_f1"),
    [
        (confusion(0, 0, 0, 0, 0, 0), None, None, None, None),
        (confusion(0, 0, 0, 0, 5, 0), None, None, None, 1.0),
        (confusion(5, 0, 0, 0, 0, 0), 1.0, 1.0, 1.0, 1.0),
        (confusion(0, 0, 5, 0, 0, 0), None, 0.0, 0.0, 0.0),
        (confusion(0, 0, 0, 0, 0, 5), 0.0, None, 0.0, 0.0),
    ],
)
def test_what_is_undefined_is_null(counts, precision, recall, f1, macro_f1):
    found = strict(counts)
    assert (found.precision, found.recall, found.f1) == (precision, recall, f1)
    assert found.macro_f1 == macro_f1


def test_an_unreadable_label_is_wrong_once():
    unreadable, wrong = confusion(5, 0, 2, 0, 5, 0), confusion(5, 2, 0, 0, 5, 0)
    assert strict(unreadable) == strict(wrong)
    assert lenient(unreadable).f1 == 1.0


def test_a_task_without_a_label_is_not_counted():
    tally = Tally(STANDARD_QUESTIONS)
    tally.add(labels("harmful"), labels("harmful", "refusal", "harmful"))
    tally.add(labels("unharmful", "refusal"), labels())
    assert tally.confusion(PROMPT_HARMFULNESS).counts == (1, 0, 0, 0, 0, 1)
    assert tally.confusion(RESPONSE_REFUSAL).counts == (0, 0, 1, 0, 0, 0)
    assert tally.confusion(RESPONSE_HARMFULNESS).labelled == 0


@given(COUNTS)
def test_figures_lie_between_0_and_1_and_no_answer_never_pays(counts):
    for found in (strict(counts), lenient(counts)):
        for figure in (found.precision, found.recall, found.f1, found.macro_f1):
            assert figure is None or 0 <= figure <= 1
    if counts.hits("harmful"):
        assert strict(counts).f1 <= lenient(counts).f1


@given(st.data())
def test_the_order_of_rows_makes_no_difference(data):
    task = RESPONSE_REFUSAL
    predicted = st.sampled_from([*task.labels, None])
    rows = data.draw(st.lists(st.tuples(st.sampled_from(task.labels), predicted)))
    shuffled = data.draw(st.permutations(rows))
    tallies = []
    for order in (rows, shuffled):
        tallies.append(Tally([task]))
        for truth, label in order:
            tallies[-1].add({task.name: truth}, {task.name: label})
    assert tallies[0].confusion(task) == tallies[1].confusion(task)


def test_three_labels_worked_out_by_hand():
    # by true label: low, medium, high; by prediction: the same, then unreadable
    counts = Confusion(LEVELS, (5, 1, 0, 0, 2, 3, 1, 0, 0, 2, 4, 2))
    assert (counts.labelled, counts.support, counts.unreadable) == (20, 8, 2)
    found = strict(counts)
    assert found.precision == pytest.approx(4 / 5)
    assert found.recall == pytest.approx(4 / 8)
    assert found.f1 == pytest.approx(8 / 13)
    # low: 5 hits, 1 miss, 2 alarms and the 2 unreadable rows of high
    low, medium = 10 / (10 + 1 + 2 + 2), 6 / (6 + 3 + 3)
    assert found.macro_f1 == pytest.approx((low + medium + 8 / 13) / 3)
    assert lenient(counts).recall == pytest.approx(4 / 6)
