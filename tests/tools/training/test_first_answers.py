"""The figures of answers before reasoning, against plain readings of their definitions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.evaluation.rows import event, labels
from training.first_answers import (
    area_under_curve,
    calibration_error,
    first_answer,
    first_answer_figures,
    recall_at,
)
from training.first_answers_table import first_answers_section
from worker.domain.questions import PROMPT_HARMFULNESS, STANDARD_QUESTIONS, STANDARD_TASKS

# few different scores, so that there are ties
rows = st.lists(st.tuples(st.booleans(), st.integers(0, 20).map(lambda n: n / 20)), max_size=60)


def arrays(rows):
    return np.array([true for true, _ in rows], dtype=bool), np.array([score for _, score in rows])


@given(rows)
def test_the_area_is_the_share_of_pairs_in_order(rows):
    positives = [score for true, score in rows if true]
    negatives = [score for true, score in rows if not true]
    found = area_under_curve(*arrays(rows))
    if not positives or not negatives:
        assert found is None
        return
    pairs = [(one > other) + (one == other) / 2 for one in positives for other in negatives]
    assert found == pytest.approx(sum(pairs) / len(pairs))


@given(rows, st.sampled_from([0.0, 0.01, 0.1, 0.5]))
def test_the_recall_is_the_best_of_all_thresholds_with_few_enough_false_alarms(rows, most):
    positives = [score for true, score in rows if true]
    negatives = [score for true, score in rows if not true]
    found = recall_at(*arrays(rows), most)
    if not positives or not negatives:
        assert found is None
        return
    recalls = [
        sum(one > threshold for one in positives) / len(positives)
        for threshold in (-1, *(score for _, score in rows))
        if Fraction(sum(one > threshold for one in negatives), len(negatives)) <= Fraction(most)
    ]
    assert found == pytest.approx(max(recalls))


@given(rows)
def test_the_calibration_error_is_the_mean_gap_of_its_bins(rows):
    found = calibration_error(*arrays(rows))
    if not rows:
        assert found is None
        return
    bins = {}
    for true, score in rows:
        confidence = max(score, 1 - score)
        bins.setdefault(min(int(confidence * 15), 14), []).append(
            ((score >= 0.5) == true, confidence)
        )
    gaps = [
        len(held) * abs(np.mean([right for right, _ in held]) - np.mean([one for _, one in held]))
        for held in bins.values()
    ]
    assert found == pytest.approx(sum(gaps) / len(rows), abs=1e-9)


def test_an_answer_is_the_likelier_label_with_its_share_and_the_mass_of_both():
    found = first_answer(PROMPT_HARMFULNESS, {"harmful": 0.15, "unharmful": 0.45})
    assert found.label == "unharmful"
    assert found.score == pytest.approx(0.25)
    assert found.mass == pytest.approx(0.6)
    assert first_answer(PROMPT_HARMFULNESS, {"harmful": 0.0, "unharmful": 0.0}).score == 0


def answers(*harmful):
    names = zip(STANDARD_QUESTIONS, harmful, strict=False)
    return {
        one.name: first_answer(
            one, {label: share if label == one.positive else 0.9 - share for label in one.labels}
        )
        for one, share in names
    }


EVENTS = [
    event("a", given=labels("harmful", "refusal", "unharmful")),
    event("b", given=labels("unharmful", "compliance", None)),
    event("c", response=None, given=labels("harmful")),
    event("d", response=None, given=labels("unharmful")),
]
READ = [answers(0.8, 0.8, 0.1), answers(0.1, 0.2, 0.8), answers(0.3), {}]


def test_figures_are_over_labelled_rows_and_an_answer_that_lacks_is_wrong():
    found = first_answer_figures(STANDARD_QUESTIONS, EVENTS, READ)
    prompt, refusal, harm = (found[task] for task in STANDARD_TASKS)
    assert (prompt["labelled"], prompt["support"]) == (4, 2)
    # one hit, one miss, and a false alarm where there is no answer
    assert prompt["f1"] == pytest.approx(0.5)
    assert prompt["auc"] == 1
    assert prompt["mean_mass"] == pytest.approx(0.9)
    assert (refusal["f1"], refusal["labelled"]) == (1, 2)
    assert (harm["labelled"], harm["f1"], harm["auc"]) == (1, None, None)


def test_the_card_shows_the_figures_of_each_model():
    figures = first_answer_figures(STANDARD_QUESTIONS, EVENTS, READ)
    found = {
        f"{name}-{part}": {"answer_first": figures}
        for name in ("sft", "dpo")
        for part in ("held_out", "adversarial")
    }
    names = {"sft": "R-SFT", "reasoning-only": "none", "dpo": "HS-DPO"}
    text = first_answers_section(found, names, 0.3)
    assert "30% of the rows were also learnt" in text
    assert "| task | R-SFT | HS-DPO |" in text
    assert "| prompt_harmfulness, AUC | 1.000 | 1.000 |" in text
    assert "| response_harmfulness, F1 | - | - |" in text
    assert "| prompt_harmfulness, mean (least) mass | 0.900 (0.900) | 0.900 (0.900) |" in text
    assert text.count("- HS-DPO: ") == 1
    assert "expect no sense" in first_answers_section(found, names, 0)
    assert first_answers_section({}, names, 0.3) == ""
