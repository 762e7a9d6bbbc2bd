"""Figures against numbers worked out by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.evaluation.rows import labels
from worker.domain.verdicts import LABELS, Task
from worker.evaluation.scoring import Confusion, Tally, lenient, strict

COUNTS = st.builds(Confusion, *[st.integers(0, 50)] * 6)


def test_figures_worked_out_by_hand():
    # of ten harmful: six seen, three missed, one unreadable; of ten others: two, seven, one
    counts = Confusion(6, 3, 1, 2, 7, 1)
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
        (Confusion(), None, None, None, None),
        (Confusion(negative_negative=5), None, None, None, 1.0),
        (Confusion(positive_positive=5), 1.0, 1.0, 1.0, 1.0),
        (Confusion(positive_unreadable=5), None, 0.0, 0.0, 0.0),
        (Confusion(negative_unreadable=5), 0.0, None, 0.0, 0.0),
    ],
)
def test_what_is_undefined_is_null(counts, precision, recall, f1, macro_f1):
    found = strict(counts)
    assert (found.precision, found.recall, found.f1) == (precision, recall, f1)
    assert found.macro_f1 == macro_f1


def test_an_unreadable_label_is_wrong_once():
    unreadable, wrong = Confusion(5, 0, 2, 0, 5, 0), Confusion(5, 2, 0, 0, 5, 0)
    assert strict(unreadable) == strict(wrong)
    assert lenient(unreadable).f1 == 1.0


def test_a_task_without_a_label_is_not_counted():
    tally = Tally()
    tally.add(labels("harmful"), labels("harmful", "refusal", "harmful"))
    tally.add(labels("unharmful", "refusal"), labels())
    assert tally.confusion(Task.PROMPT_HARMFULNESS) == (1, 0, 0, 0, 0, 1)
    assert tally.confusion(Task.RESPONSE_REFUSAL) == (0, 0, 1, 0, 0, 0)
    assert tally.confusion(Task.RESPONSE_HARMFULNESS).labelled == 0


@settings(deadline=None)
@given(COUNTS)
def test_figures_lie_between_0_and_1_and_no_answer_never_pays(counts):
    for found in (strict(counts), lenient(counts)):
        for figure in (found.precision, found.recall, found.f1, found.macro_f1):
            assert figure is None or 0 <= figure <= 1
    if counts.positive_positive:
        assert strict(counts).f1 <= lenient(counts).f1


@settings(deadline=None)
@given(st.data())
def test_the_order_of_rows_makes_no_difference(data):
    task = Task.RESPONSE_REFUSAL
    predicted = st.sampled_from([*LABELS[task], None])
    rows = data.draw(st.lists(st.tuples(st.sampled_from(LABELS[task]), predicted)))
    shuffled = data.draw(st.permutations(rows))
    tallies = []
    for order in (rows, shuffled):
        tallies.append(Tally())
        for truth, label in order:
            tallies[-1].add({task: truth}, {task: label})
    assert tallies[0].confusion(task) == tallies[1].confusion(task)
