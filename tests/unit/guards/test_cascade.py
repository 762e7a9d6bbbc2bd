"""Scores first, reasoning where it is needed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.guards.model import Model
from tests.unit.guards.test_reading import USUAL
from worker.domain.calibration import Calibration, Curve, QuestionCalibration
from worker.domain.engines import Continuation
from worker.domain.events import Exchange
from worker.domain.guard import first_prompt
from worker.domain.judgements import Reading
from worker.domain.questions import STANDARD_TASKS
from worker.guards.guardreasoner.cascade import ScoringPlan
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.guards.guardreasoner.parser import parse
from worker.guards.guardreasoner.reasoning import ReasoningPlan
from worker.guards.guardreasoner.repair import Repair

ANSWERED = Exchange("How do I bake bread?", "With flour.")
ALONE = Exchange("How do I bake bread?", None)
BAND = QuestionCalibration(low=0.1, high=0.9)
CALIBRATION = Calibration(dict.fromkeys(STANDARD_TASKS, BAND), "f" * 64)
SURE = (0.02, 0.97, 0.01)
AFTER = (0.001, 0.002, 0.003)


def guard(mode, calibration=CALIBRATION, **plan):
    return GuardReasoner(
        reasoning=ReasoningPlan(repair=Repair(), scored=True),
        scoring=ScoringPlan(mode, calibration=calibration, **plan),
    )


def labels(judgement):
    return tuple(judgement.reading(task).label for task in STANDARD_TASKS)


def scores(judgement):
    return tuple(judgement.reading(task).score for task in STANDARD_TASKS)


@pytest.mark.parametrize("mode", ["unsure", "flagged", "never"])
def test_a_sure_score_is_the_verdict(mode):
    model = Model(USUAL, first=SURE)
    judgement = model.judge(guard(mode), ANSWERED)
    assert len(model.requests) == 1
    assert labels(judgement) == ("unharmful", "refusal", "unharmful")
    assert scores(judgement) == SURE
    assert {judgement.reading(task).source for task in STANDARD_TASKS} == {"score"}
    assert judgement.status == "complete"
    assert not judgement.reasoned
    assert not judgement.reasoning
    assert not judgement.flags


def test_the_first_request_asks_for_the_answers_alone():
    model = Model(USUAL, first=SURE)
    model.judge(guard("unsure"), ANSWERED)
    (request,) = model.requests
    usual = first_prompt(GuardReasoner(), ANSWERED)
    assert request.prompt.runs == (*usual.runs, "Answers: \nRequest:")
    assert request.prompt.opening == usual.opening
    assert request.max_tokens == 32
    assert len(request.scores) == 3
    # the form is forced: each pair of labels of each question, and nothing else
    assert len(request.choices) == 8
    assert " unharmful\nCompletion: refusal\nResponse: harmful" in request.choices
    for choice in request.choices:
        read = parse(f"Answers: \nRequest:{choice}", has_response=True, finish_reason="stop")
        assert read.status == "complete"


def test_without_a_response_only_the_request_is_asked_for():
    model = Model(USUAL, first=SURE[:1])
    model.judge(guard("unsure"), ALONE)
    (request,) = model.requests
    assert request.choices == (" harmful", " unharmful")
    assert len(request.scores) == 1


@pytest.mark.parametrize("unsure", [0, 1, 2])
def test_a_score_in_the_band_is_reasoned_about(unsure):
    first = tuple(0.5 if n == unsure else one for n, one in enumerate(SURE))
    model = Model(USUAL, first=first, after=AFTER)
    judgement = model.judge(guard("unsure"), ANSWERED)
    assert judgement.reasoned
    assert judgement.reasoning
    score, reasoning, answers = model.requests
    assert reasoning.prompt.runs == score.prompt.runs[:-1], "the prefix is in the cache"
    assert reasoning.priority < score.priority
    assert isinstance(answers.prompt, Continuation)
    assert answers.priority == reasoning.priority


def test_with_never_a_score_in_the_band_is_the_verdict():
    model = Model(USUAL, first=(0.6, 0.4, 0.5))
    judgement = model.judge(guard("never"), ANSWERED)
    assert labels(judgement) == ("harmful", "compliance", "harmful")
    assert len(model.requests) == 1


@pytest.mark.parametrize(("mode", "requests"), [("unsure", 1), ("flagged", 3)])
@pytest.mark.parametrize("first", [(0.99, 0.99, 0.01), (0.01, 0.01, 0.99)])
def test_what_is_flagged_is_reasoned_about_where_that_is_wanted(mode, requests, first):
    model = Model(USUAL, first=first, after=first)
    judgement = model.judge(guard(mode), ANSWERED)
    assert judgement.reasoned == (requests > 1) == ("score_flagged" in judgement.flags)
    assert len(model.requests) == requests


def test_a_refusal_is_not_flagged():
    model = Model(USUAL, first=(0.01, 0.99, 0.01))
    assert not model.judge(guard("flagged"), ANSWERED).reasoned


@pytest.mark.parametrize(("mode", "status"), [("unsure", "complete"), ("never", "inconclusive")])
def test_a_score_without_mass_is_not_believed(mode, status):
    model = Model(USUAL, first=SURE, after=AFTER, mass=0.3)
    judgement = model.judge(guard(mode), ANSWERED)
    assert judgement.status == status
    assert judgement.reasoned == (mode == "unsure")
    assert "answer_improbable" in judgement.flags
    if mode == "never":
        assert {judgement.reading(task) for task in STANDARD_TASKS} == {Reading()}
        assert judgement.flags == ("answer_improbable",)


def test_the_scores_of_both_stages_are_combined():
    model = Model(USUAL, first=(0.5, 0.02, 0.02), after=(0.02, 0.02, 0.02))
    judgement = model.judge(guard("unsure"), ANSWERED)
    # the mean of the log odds of 0.5 and 0.02
    assert scores(judgement) == (0.125, 0.02, 0.02)
    assert len(judgement.scores) == 6
    assert labels(judgement) == ("unharmful", "compliance", "unharmful")
    assert {judgement.reading(task).source for task in STANDARD_TASKS} == {"answer"}


def test_stages_that_disagree_are_flagged_and_the_combined_score_decides():
    model = Model(USUAL, first=(0.89, 0.01, 0.01), after=(0.4, 0.01, 0.01))
    judgement = model.judge(guard("unsure"), ANSWERED)
    assert judgement.flags == ("score_unsure", "stages_disagree")
    reading = judgement.reading(STANDARD_TASKS[0])
    assert (reading.label, reading.source) == ("harmful", "score")
    assert reading.score > 0.5


def test_scores_of_both_stages_have_a_threshold_apart_from_the_first_ones():
    first, after = (0.5, 0.9, 0.01), (0.8, 0.9, 0.01)
    strict = QuestionCalibration(low=0.1, high=0.95, threshold=0.9)
    low = Calibration(dict.fromkeys(STANDARD_TASKS, strict))
    high = Calibration(dict.fromkeys(STANDARD_TASKS, replace(strict, combined_threshold=0.7)))
    # both stages together: 2 / 3
    assert labels(Model(USUAL, first, after).judge(guard("unsure", low), ANSWERED))[0] == "harmful"
    assert labels(Model(USUAL, first, after).judge(guard("unsure", high), ANSWERED))[0] == (
        "unharmful"
    )
    assert labels(Model(USUAL, first).judge(guard("never", low), ANSWERED))[0] == "unharmful"


def test_scores_are_calibrated_by_stage():
    curves = QuestionCalibration(
        first=Curve(slope=0.5), reasoned=Curve(points=((0.0, 0.2), (1.0, 0.8))), low=0.0, high=1.0
    )
    calibration = Calibration({STANDARD_TASKS[0]: curves})
    model = Model(USUAL, first=(0.01,), after=(0.5,))
    judgement = model.judge(guard("never", calibration), ALONE)
    assert scores(judgement)[0] == pytest.approx(0.0913, abs=1e-4)
    always = GuardReasoner(
        reasoning=ReasoningPlan(scored=True), scoring=ScoringPlan(calibration=calibration)
    )
    judgement = Model(USUAL, after=(0.25,)).judge(always, ALONE)
    assert scores(judgement)[0] == 0.35
    assert judgement.reading(STANDARD_TASKS[0]).source == "answer"


def test_an_audit_that_disagrees_says_so():
    model = Model(USUAL, first=(0.95,), after=(0.01,))
    judgement = model.judge(guard("unsure", audit_share=1.0), ALONE)
    assert judgement.flags == ("audited", "stages_disagree", "audit_disagrees")
    model = Model(USUAL, first=(0.05,), after=(0.01,))
    assert model.judge(guard("unsure", audit_share=1.0), ALONE).flags == ("audited",)


def test_the_same_exchanges_are_audited_each_time():
    exchanges = [Exchange(f"How do I bake {n}?", None) for n in range(400)]

    def audited():
        found = []
        for exchange in exchanges:
            model = Model(USUAL, first=(0.01,), after=(0.01,))
            judgement = model.judge(guard("unsure", audit_share=0.2), exchange)
            assert ("audited" in judgement.flags) == judgement.reasoned
            found.append(judgement.reasoned)
        return found

    first = audited()
    assert first == audited()
    assert 40 < sum(first) < 120


def test_labels_before_reasoning_are_marked():
    model = Model(USUAL, first=SURE)
    scoring = guard("unsure")
    model.judge(scoring, ANSWERED)
    (spans,) = scoring.spans(ANSWERED, model.completions)
    text = model.completions[0].text
    assert [(text[span.start : span.end], span.of) for span in spans] == [
        ("unharmful", STANDARD_TASKS[0]),
        ("refusal", STANDARD_TASKS[1]),
        ("unharmful", STANDARD_TASKS[2]),
    ]


PROBABILITY = st.floats(0.001, 0.999)


@given(
    st.lists(PROBABILITY, min_size=3, max_size=3),
    st.lists(PROBABILITY, min_size=3, max_size=3),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from(["unsure", "flagged", "never"]),
    st.floats(0.01, 1),
)
def test_no_scores_make_a_judgement_that_breaks_its_promises(first, after, low, high, mode, mass):
    band = QuestionCalibration(low=min(low, high), high=max(low, high))
    calibration = Calibration(dict.fromkeys(STANDARD_TASKS, band))
    model = Model(USUAL, first=first, after=after, mass=mass)
    judgement = model.judge(guard(mode, calibration), ANSWERED)
    assert judgement.reasoned == (len(model.requests) > 1) == bool(judgement.reasoning)
    assert set(judgement.flags) <= GuardReasoner.flags.keys()
    for task in STANDARD_TASKS:
        reading = judgement.reading(task)
        assert (reading.label is None) == (reading.source is None)
        if reading.score is not None:
            assert (reading.score >= 0.5) == (reading.label in ("harmful", "refusal"))
    if mode != "never":
        assert judgement.status == "complete"
