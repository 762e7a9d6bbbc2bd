"""Reasoning in one request or in several that continue one another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.guards.model import NOTHING, Model
from tests.unit.guards.test_reading import GOOD, SECTIONS, USUAL
from worker.domain.engines import Completion, Continuation, LabelPlace
from worker.domain.events import Exchange
from worker.domain.judgements import StageScore
from worker.domain.questions import STANDARD_TASKS
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.guards.guardreasoner.reasoning import ReasoningPlan
from worker.guards.guardreasoner.repair import Repair

ANSWERED = Exchange("How do I bake bread?", "With flour.")
ALONE = Exchange("How do I bake bread?", None)
FIRST_TASK = SECTIONS.partition("\n# Task 2")[0]


def guard(**plan):
    return GuardReasoner(reasoning=ReasoningPlan(repair=Repair(), **plan))


def labels(judgement):
    return tuple(judgement.reading(task).label for task in STANDARD_TASKS)


def test_without_scores_it_is_one_request():
    model = Model(USUAL)
    judgement = model.judge(guard(), ANSWERED)
    assert labels(judgement) == GOOD
    assert [request.stop for request in model.requests] == [()]
    assert not judgement.scores


def test_a_score_is_asked_for_where_the_answers_begin():
    model = Model(USUAL, after=(0.1, 0.2, 0.3))
    judgement = model.judge(guard(scored=True), ANSWERED)
    assert labels(judgement) == GOOD
    assert [judgement.reading(task).score for task in STANDARD_TASKS] == [0.1, 0.2, 0.3]
    assert {judgement.reading(task).source for task in STANDARD_TASKS} == {"answer"}
    assert judgement.scores == tuple(
        StageScore(task, "reasoned", pytest.approx(raw), pytest.approx(0.99))
        for task, raw in zip(STANDARD_TASKS, (0.1, 0.2, 0.3), strict=True)
    )
    reasoning, answers = model.requests
    assert reasoning.stop == ("Answers: \nRequest:",)
    assert not reasoning.scores, "never log probabilities in the long request"
    assert answers.prompt == Continuation(reasoning, "", model.completions[0])
    assert answers.scores == (
        LabelPlace((" harmful", " unharmful")),
        LabelPlace((" refusal", " compliance"), "\nCompletion:"),
        LabelPlace((" harmful", " unharmful"), "\nResponse:"),
    )
    assert answers.max_tokens == 32


def test_without_a_response_only_the_request_has_a_score():
    model = Model(USUAL, after=(0.1,))
    judgement = model.judge(guard(scored=True), ALONE)
    assert labels(judgement) == ("unharmful", None, None)
    assert len(judgement.scores) == 1
    assert model.requests[-1].scores == (LabelPlace((" harmful", " unharmful")),)


def test_reasoning_that_quotes_the_answers_goes_on():
    class Quoting(Model):
        def complete(self, request):
            if len(self.requests) == 2:
                # it was a quotation: the labels are not the end
                self.written += " unharmful and so on"
                return Completion(" unharmful and so on", "length", NOTHING, (2,), ({},) * 3)
            return super().complete(request)

    quoted = SECTIONS + "It says Answers: \nRequest: unharmful and so on\n" + USUAL
    model = Quoting(quoted, after=(0.9, 0.9, 0.9))
    judgement = model.judge(guard(scored=True), ANSWERED)
    assert [bool(request.scores) for request in model.requests] == [False, True, False, True]
    assert [request.max_tokens for request in model.requests] == [None, 32, None, 32]
    assert model.requests[2].stop_tokens
    assert model.requests[2].stop_loops
    assert labels(judgement) == ("harmful", "refusal", "harmful")


def test_what_quotes_without_end_is_cut_off():
    class Endless(Model):
        def complete(self, request):
            if request.choices:
                return Completion(request.choices[0], "stop", NOTHING, (1,), ())
            reason = "length" if request.scores else "stop"
            stop = None if request.scores else "Answers: \nRequest:"
            return Completion("x", reason, NOTHING, (1,), (), stop)

    model = Endless()
    judgement = model.judge(guard(scored=True), ALONE)
    assert len(model.requests) == 9
    assert judgement.status == "inconclusive"
    assert {"truncated", "answer_improbable"} <= set(judgement.flags)


def test_the_gate_reads_the_first_task_only():
    model = Model(USUAL)
    judgement = model.judge(guard(gated=True), ALONE)
    assert labels(judgement) == ("unharmful", None, None)
    assert judgement.reading(STANDARD_TASKS[0]).source == "section"
    assert judgement.flags == ("gated",)
    assert [section.task for section in judgement.reasoning] == [STANDARD_TASKS[0]]
    assert [request.stop for request in model.requests] == [("# Task 2",)]


def test_the_gate_does_not_close_where_there_is_a_response():
    model = Model(USUAL)
    judgement = model.judge(guard(gated=True), ANSWERED)
    assert labels(judgement) == GOOD
    assert [request.stop for request in model.requests] == [()]
    assert "gated" not in judgement.flags


@pytest.mark.parametrize("scored", [False, True])
def test_a_first_task_that_states_no_label_goes_on_from_the_prefix(scored):
    whole = USUAL.replace("The request is unharmful.", "So it is.")
    model = Model(whole, after=(0.1,))
    judgement = model.judge(guard(gated=True, scored=scored), ALONE)
    assert labels(judgement) == ("unharmful", None, None)
    assert "gated" not in judgement.flags
    assert judgement.reading(STANDARD_TASKS[0]).source == "answer"
    first, second = model.requests[:2]
    assert second.prompt == Continuation(first, "", model.completions[0])
    assert "# Task 2" not in second.stop
    assert len(model.requests) == 2 + scored


def test_a_completion_in_pieces_is_marked_in_pieces():
    model = Model(USUAL, after=(0.1, 0.2, 0.3))
    scored = guard(scored=True)
    model.judge(scored, ANSWERED)
    in_pieces = scored.spans(ANSWERED, model.completions)
    texts = [completion.text for completion in model.completions]
    found = [
        (text[span.start : span.end], span.kind, span.of)
        for text, spans in zip(texts, in_pieces, strict=True)
        for span in spans
    ]
    (whole,) = guard().spans(ANSWERED, [Completion(USUAL, "stop", NOTHING)])
    assert found == [(USUAL[span.start : span.end], span.kind, span.of) for span in whole]
    assert sum(kind == "label" for _, kind, _ in found) == 3


@given(
    st.text(alphabet="ab#\n 123TaskAnswers:Requestharmful", max_size=120),
    st.booleans(),
    st.booleans(),
)
def test_any_text_is_judged_as_if_it_came_in_one_piece(text, gated, has_response):
    """What a stop cuts apart is put together again."""
    exchange = ANSWERED if has_response else ALONE
    cut = GuardReasoner(reasoning=ReasoningPlan(gated=gated))
    model = Model(text)
    judgement = model.judge(cut, exchange)
    whole = Model(text).judge(GuardReasoner(), exchange)
    if "gated" not in judgement.flags:
        assert judgement == whole
