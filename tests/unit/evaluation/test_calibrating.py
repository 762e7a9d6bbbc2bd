"""Curves, thresholds, bands and modes of scored events."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.evaluation.scores import AFTER, FIRST, scored
from worker.domain.calibration import sigmoid
from worker.domain.errors import UnusableFile
from worker.domain.questions import PROMPT_HARMFULNESS, RESPONSE_REFUSAL, STANDARD_QUESTIONS
from worker.evaluation.bands import choose_band, choose_threshold, outside_errors, upper_bound
from worker.evaluation.calibrating import calibrate_question
from worker.evaluation.curves import apply, fit_stage, stratified_folds
from worker.evaluation.modes import Bootstrap, simulate_modes
from worker.evaluation.question_columns import Aims

QUICK = Bootstrap(resamples=100)
NAMES = [question.name for question in STANDARD_QUESTIONS]
UNIT = st.floats(0, 1, allow_nan=False)
# scores with many ties, and both labels
LABELLED = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]) | UNIT, st.booleans()),
    min_size=12,
    max_size=80,
).filter(lambda rows: 3 <= sum(label for _, label in rows) <= len(rows) - 3)


def columns(rows):
    scores, truths = zip(*rows, strict=True)
    return np.array(scores, dtype=float), np.array(truths, dtype=bool)


def calibrated(events, aims=None):
    return [calibrate_question(question, events, aims or Aims()) for question in STANDARD_QUESTIONS]


def modes(events, aims=None, of=NAMES):
    aims = aims or Aims()
    questions = calibrated(events, aims)
    return simulate_modes(questions, events, of=of, budget=aims.budget, bootstrap=QUICK)


@given(LABELLED, st.integers(0, 3), st.sampled_from([1, 40]))
@settings(max_examples=40)
def test_every_curve_rises_and_gives_probabilities(rows, seed, times):
    # repeated rows reach the number from which isotonic regression is tried
    scores, truths = columns(rows * times)
    fitted = fit_stage(scores, truths, stratified_folds(truths, folds=3, seed=seed))
    curve = fitted.curve
    at = apply(curve, np.linspace(0, 1, 101))
    assert (np.diff(at) >= 0).all()
    assert ((at >= 0) & (at <= 1)).all()
    assert ((fitted.held >= 0) & (fitted.held <= 1)).all()
    assert fitted.log_loss[curve.kind] == min(fitted.log_loss.values())
    assert ("isotonic" in fitted.log_loss) == (len(scores) >= 1000)


@given(LABELLED, st.floats(0, 0.3), st.sampled_from([0.01, 0.1, 0.3]))
def test_a_band_keeps_its_budget_and_no_narrower_one_does(rows, budget, rate):
    scores, positive = columns(rows)
    threshold = choose_threshold(scores, positive, rate).value
    low, high = choose_band(scores, positive, ~positive, threshold=threshold, budget=budget)
    assert 0 <= low <= threshold <= high <= 1

    def errors_and_inside(low, high):
        wrong = outside_errors(scores, positive, ~positive, low, high)
        return wrong.sum(), ((scores > low) & (scores < high)).sum()

    errors, inside = errors_and_inside(low, high)
    if low not in scores and high not in scores:
        assert errors <= budget * len(scores) + 1e-6
    # each other band that contains the threshold, between any two scores
    cuts = [
        0.0,
        *((a + b) / 2 for a, b in zip(np.unique(scores), np.unique(scores)[1:], strict=False)),
        1.0,
    ]
    for one in (cut for cut in cuts if cut <= threshold):
        for other in (cut for cut in cuts if cut >= threshold):
            if errors_and_inside(one, other)[0] <= budget * len(scores):
                assert errors_and_inside(one, other)[1] >= inside


@given(LABELLED, st.sampled_from([0.001, 0.01, 0.1, 0.3]))
def test_a_threshold_keeps_its_rate_where_that_can_be_shown(rows, rate):
    scores, truths = columns(rows)
    found = choose_threshold(scores, truths, rate)
    assert found.value >= 0.5
    assert found.false_positives == (scores[~truths] >= found.value).sum()
    assert found.bound >= found.false_positives / found.negatives
    if found.is_conformal:
        assert found.false_positives <= rate * (found.negatives + 1)
        assert found.negatives >= 1 / rate - 1
    if found.negatives < 1 / rate - 1:
        assert not found.is_conformal


def test_of_a_hundred_negatives_without_an_alarm_three_percent_is_the_bound():
    # the rule of three
    assert upper_bound(0, 100) == pytest.approx(0.0295, abs=1e-3)
    assert upper_bound(100, 100) == 1.0


def test_scores_that_mean_what_they_say_stay_as_they_are():
    figures = calibrated(scored(2000, sharpness=1.0, mistakes=0.0))[0].figures.first
    assert figures.ece_before < 0.03
    assert figures.ece < 0.03
    assert figures.brier <= figures.brier_before + 0.002


def test_scores_that_claim_too_much_are_corrected():
    figures = calibrated(scored(2000, separation=4, sharpness=4.0))[0].figures.first
    assert figures.ece_before > 2 * figures.ece
    assert figures.brier < figures.brier_before
    assert figures.curve.curve().probability(0.999) < 0.95


def test_perfect_scores_release_all_modes_and_save_the_reasoning():
    found = modes(scored(600, separation=60, mistakes=0.0))
    assert {mode: one.why for mode, one in found.items()} == dict.fromkeys(found)
    assert found["never"].tokens == FIRST.tokens
    assert found["always"].tokens == AFTER.tokens
    assert found["unsure"].reasoned < 0.05
    # what is flagged is reasoned about: a request or a response of 40 % each
    assert found["flagged"].reasoned == pytest.approx(1 - 0.6**2, abs=0.06)
    assert found["unsure"].tasks[NAMES[0]].difference.value == 0


def test_useless_scores_release_no_mode():
    found = modes(scored(400, separation=0.05))
    assert found["always"].released
    for mode in ("unsure", "flagged", "never"):
        assert not found[mode].released
        assert "do not separate" in found[mode].why


def test_labels_without_mass_release_no_mode():
    found = modes(scored(400, separation=60, mass=0.1))
    for mode in ("unsure", "flagged", "never"):
        assert "does not expect an answer" in found[mode].why
    # a score without mass is not used: the guard reasons, or has no label
    assert found["unsure"].reasoned == 1
    assert found["never"].tasks[NAMES[0]].f1 == 0


def test_a_question_without_labels_releases_no_mode():
    events = scored(400, separation=60, mistakes=0.0)
    name = RESPONSE_REFUSAL.name
    unlabelled = [replace(one, labels={**one.labels, name: None}) for one in events]
    questions = [
        calibrate_question(question, unlabelled, Aims())
        for question in STANDARD_QUESTIONS
        if question.name != name
    ]
    found = simulate_modes(questions, unlabelled, of=NAMES, budget=0.005, bootstrap=QUICK)
    assert name in found["unsure"].why


def test_never_is_refused_where_the_scores_are_worse_than_the_reasoning():
    found = modes(scored(600, separation=10, mistakes=0.0))
    assert "F1 of" in found["never"].why
    assert found["never"].tasks[NAMES[0]].difference.value < 0


def test_reasoning_of_few_events_mends_what_the_score_gets_wrong():
    found = modes(scored(1000, separation=20, mistakes=0.0))
    assert found["unsure"].released
    assert found["unsure"].tokens < 0.5 * found["always"].tokens
    for name in NAMES:
        assert found["unsure"].tasks[name].difference.value >= -0.005


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (scored(199), "has 199 labelled events with scores"),
        (scored(400, share=0.0001), "0 are harmful by prompt_harmfulness"),
        (scored(400, share=0.9999), "0 are not harmful by prompt_harmfulness"),
    ],
)
def test_too_few_labels_are_refused(events, said):
    with pytest.raises(UnusableFile, match=said):
        calibrate_question(PROMPT_HARMFULNESS, events, Aims())


def test_scores_that_are_all_equal_say_nothing_and_break_nothing():
    events = scored(400)
    equal = [
        replace(
            one,
            scores={name: score._replace(first=0.3) for name, score in one.scores.items()},
        )
        for one in events
    ]
    found = calibrated(equal)[0].figures
    assert found.first.auc == 0.5
    assert found.band.low <= found.threshold.value <= found.band.high
    assert not modes(equal)["unsure"].released


def test_a_steep_curve_does_not_overflow():
    assert sigmoid(-2000.0) == 0
    assert sigmoid(2000.0) == 1


def test_the_same_seed_gives_the_same_calibration():
    events = scored(300)
    first, second = (calibrated(events, Aims(seed=7))[0].figures for _ in range(2))
    assert first == second
