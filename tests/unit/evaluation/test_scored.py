"""From the completions of both stages to the rows of a calibration."""

import math
from typing import ClassVar

from tests.unit.evaluation.rows import event, labels
from worker.domain.engines import Completion, EngineRequest, Usage
from worker.domain.judgements import Judgement, Reading, StageScore
from worker.domain.prompts import Prompt
from worker.domain.questions import STANDARD_QUESTIONS
from worker.evaluation.answers import Answer, unjudged
from worker.evaluation.scored import Cost, ScoredEvent, Stages, scored_events, split


class TwoStages:
    """Scores, reasons, scores again; both stages together say the positive label."""

    name = "two_stages"
    questions = STANDARD_QUESTIONS
    flags: ClassVar = {}
    prompt_sha256 = "00"

    def __init__(self, *, first=True):
        self.first = first

    def judge(self, exchange):
        asked = [
            question
            for question in self.questions
            if exchange.response or question.about == "prompt"
        ]
        scores = []
        if self.first:
            completion = yield EngineRequest(Prompt(("first",)))
            scores += [
                StageScore(one.name, "first", 0.9, 0.8) for one in asked if completion.logprobs
            ]
        yield EngineRequest(Prompt(("reason",)))
        completion = yield EngineRequest(Prompt(("after",)))
        scores += [
            StageScore(one.name, "reasoned", 0.2, 0.99) for one in asked if completion.logprobs
        ]
        at = 0 if self.first else 1
        readings = {one.name: Reading(one.labels[at]) for one in asked}
        return Judgement("complete", readings, scores=tuple(scores))

    def spans(self, _exchange, _completions):
        return ()


GUARDS = Stages(TwoStages(), TwoStages(first=False), TwoStages(first=False))
SCORES = {" harmful": math.log(0.5)}


def completion(tokens, scores=None):
    return Completion("text", "stop", Usage(0, tokens, 0), (), scores or {})


def answer(*completions):
    return Answer("complete", labels("harmful", "refusal", "harmful"), completions=completions)


WHOLE = (completion(9, SCORES), completion(200), completion(12, SCORES))


def test_an_event_has_scores_labels_and_costs_of_both_stages():
    (found,), others = scored_events(GUARDS, [event("a")], {"a": answer(*WHOLE)})
    assert others == []
    assert isinstance(found, ScoredEvent)
    assert set(found.scores) == {question.name for question in STANDARD_QUESTIONS}
    assert set(found.scores.values()) == {(0.9, 0.8, 0.2, 0.99)}
    assert (found.first, found.after) == (Cost(9, 1), Cost(212, 2))
    # what the reasoning says by itself, not what both stages say
    assert list(found.reasoned.values()) == ["unharmful", "compliance", "unharmful"]


def test_questions_about_a_missing_response_need_no_score():
    alone = event("a", response=None, given=labels("harmful"))
    (found,), _ = scored_events(GUARDS, [alone], {"a": answer(*WHOLE)})
    assert list(found.scores) == [STANDARD_QUESTIONS[0].name]


def test_an_event_without_a_stage_is_left_out_with_the_reason():
    events = [event(name) for name in "abcd"]
    answers = {
        "a": answer(completion(200)),
        "b": answer(completion(9, SCORES)),
        "c": answer(completion(9, SCORES), completion(200), completion(12)),
        "d": unjudged("The prompt is too long."),
    }
    found, others = scored_events(GUARDS, events, answers)
    assert found == []
    assert [one.id for one in others] == list("abcd")
    assert others[0].reason == others[1].reason == "It was not scored and reasoned about."
    assert "after reasoning" in others[2].reason
    assert others[3].reason == "The prompt is too long."


def test_the_reasoning_is_the_first_request_without_scores():
    first, after = split(WHOLE)
    assert (len(first), len(after)) == (1, 2)
    assert split(WHOLE[1:]) == ([], WHOLE[1:])
    assert split(()) == ([], ())
