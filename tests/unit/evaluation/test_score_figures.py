"""Figures of scores, and the differences of two guards'."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.unit.evaluation.rows import PROVENANCE, event, labelled, labels
from worker.domain.engines import Usage
from worker.domain.questions import PROMPT_HARMFULNESS, STANDARD_TASKS
from worker.evaluation.analysis import evaluate
from worker.evaluation.answers import Answer
from worker.evaluation.comparing import compare_scores
from worker.evaluation.other_run import Other, compare
from worker.evaluation.report import render_report
from worker.evaluation.results import encode_evaluation, read_evaluation
from worker.evaluation.score_figures import (
    auc,
    brier,
    ece,
    rank_auc,
    rank_tpr,
    reliability,
    score_figures,
    tpr_at,
)

ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1), st.booleans()),
    min_size=2,
    max_size=60,
)


def columns(rows):
    scores, truths = zip(*rows, strict=True)
    return np.array(scores, dtype=float), np.array(truths, dtype=bool)


@given(ROWS)
def test_bins_hold_every_score_once(rows):
    scores, truths = columns(rows)
    bins = reliability(scores, truths)
    assert len(bins) == 15
    assert sum(one.n for one in bins) == len(rows)
    positives = sum(one.n * one.positive for one in bins if one.positive is not None)
    assert positives == pytest.approx(truths.sum())
    assert all(one.low - 1e-9 <= one.score <= one.high + 1e-9 for one in bins if one.n)
    assert 0 <= ece(bins) <= 1


def test_ece_is_the_distance_between_score_and_share():
    scores = np.array([0.8] * 10)
    truths = np.array([True] * 5 + [False] * 5)
    assert ece(reliability(scores, truths)) == pytest.approx(0.3)
    assert brier(scores, truths) == pytest.approx((0.04 + 0.64) / 2)


@given(ROWS)
@settings(max_examples=50)
def test_the_quick_figures_of_resamples_are_those_of_the_library(rows):
    scores, truths = columns(rows)
    assume(truths.any() and not truths.all())
    assert rank_auc(scores, truths) == pytest.approx(auc(scores, truths))
    for rate in (0.001, 0.01, 0.2, 0.5, 1.0):
        assert rank_tpr(rate)(scores, truths) == pytest.approx(tpr_at(scores, truths, rate))


def test_perfect_and_constant_scores():
    truths = np.array([True, False] * 20)
    perfect = score_figures(truths.astype(float), truths)
    assert (perfect.auc, perfect.tpr_at_1_percent, perfect.ece, perfect.brier) == (1, 1, 0, 0)
    constant = score_figures(np.full(40, 0.5), truths)
    assert (constant.auc, constant.tpr_at_1_percent, constant.ece) == (0.5, 0, 0)
    assert score_figures(np.full(2, 0.5), np.array([True, True])) is None


@given(ROWS)
@settings(max_examples=25)
def test_curves_rise_from_end_to_end(rows):
    scores, truths = columns(rows)
    assume(truths.any() and not truths.all())
    found = score_figures(scores, truths)
    assert found.roc[0] == (0, 0)
    assert found.roc[-1] == (1, 1)
    for curve in (found.roc, [(x, 0) for x, _ in found.precision_recall]):
        assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(curve))


def test_better_scores_differ_from_worse_ones_beyond_their_interval():
    draw = np.random.default_rng(1)
    truths = draw.random(300) < 0.4
    noise = draw.random(300)
    rows = [
        ("harmful" if truth else "unharmful", 0.7 * truth + 0.3 * one, float(one))
        for truth, one in zip(truths, noise, strict=True)
    ]
    found = compare_scores(PROMPT_HARMFULNESS, rows, resamples=200, seed=0)
    assert found.auc == 1
    assert found.auc_difference.low > 0.2
    same = compare_scores(
        PROMPT_HARMFULNESS, [(label, one, one) for label, one, _ in rows], resamples=100, seed=0
    )
    assert (same.auc_difference.low, same.auc_difference.high) == (0, 0)
    assert compare_scores(PROMPT_HARMFULNESS, rows[:0], resamples=100, seed=0) is None


def _run(scores, *, reasoned=True):
    """An evaluation of events, half of them positive, with these scores of the first task."""
    events = [
        event(str(n), prompt=f"request {n}", given=labels("harmful" if n % 2 else "unharmful"))
        for n in range(len(scores))
    ]
    answers = {
        one.id: Answer(
            "complete",
            labels("harmful" if score >= 0.5 else "unharmful"),
            scores={STANDARD_TASKS[0]: score},
            reasoned=reasoned if n % 4 else False,
            usage=Usage(10, 200 if n % 4 else 9, 0, 2),
        )
        for n, (one, score) in enumerate(zip(events, scores, strict=True))
    }
    data = labelled(*events)
    made = evaluate(data, answers, provenance=PROVENANCE, slices=(), resamples=100, seed=0)
    return data, made


def test_scores_and_costs_are_in_results_report_and_comparison(tmp_path):
    data, run = _run([0.9 if n % 2 else 0.1 for n in range(40)])
    _, other = _run([0.9 if n % 3 else 0.1 for n in range(40)])
    task = STANDARD_TASKS[0]
    assert run.tasks[task].scores.auc == 1
    assert run.tasks[STANDARD_TASKS[1]].scores is None
    assert run.costs["all"].verdicts == 40
    assert run.costs["reasoned"].tokens == 200
    assert run.costs["not reasoned"].tokens == 9
    path = tmp_path / "r.json"
    path.write_bytes(encode_evaluation(other))
    assert read_evaluation(path) == other
    scores = {row.id: row.scores for row in other.rows}
    predicted = {row.id: row.predicted for row in other.rows}
    compared = compare(run, Other("o", None, predicted, {}, scores=scores))
    assert compared.comparison.tasks[task].scores.auc_difference.value > 0
    page = render_report(compared, data.events)
    for shown in ("ROC of", "Reliability of", "Cost of a verdict", "TPR at 1 % FPR", "200.0"):
        assert shown in page, shown


def test_results_without_scores_have_no_section_of_them():
    events = labelled(event("a"))
    made = evaluate(
        events,
        {"a": Answer("complete", labels("unharmful", "compliance", "unharmful"))},
        provenance=PROVENANCE,
        slices=(),
        resamples=100,
        seed=0,
    )
    assert made.costs == {}
    page = render_report(made, events.events)
    assert "ROC" not in page
    assert "Cost of a verdict" not in page
