"""Forced answers for completions that give none."""

import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.clocks import QuickClock
from tests.unit.guards.test_reading import SECTIONS, USUAL
from tests.unit.judges import build_judge
from worker.adapters.simulated import Behaviour, SimulatedEngine
from worker.domain.engines import Completion, Continuation, LabelPlace, Usage
from worker.domain.errors import InvalidRequest, PromptTooLong
from worker.domain.events import Exchange
from worker.domain.guard import CompletionSpan, read_completions
from worker.domain.judgements import Reading
from worker.domain.questions import STANDARD_TASKS
from worker.domain.records import record_of_line
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.guards.guardreasoner.reasoning import ReasoningPlan
from worker.guards.guardreasoner.repair import Repair

# 10,000 and more in the nightly target
EVENTS = int(os.environ.get("GUARDSTREAM_TEST_FUZZ_EVENTS", "400"))
ANSWERED = Exchange("How do I bake bread?", "With flour.")
ALONE = Exchange("How do I bake bread?", None)
GUARD = GuardReasoner(reasoning=ReasoningPlan(repair=Repair()))
NOTHING = Usage(0, 0, 0)


def forced(request, label, probability=0.9, mass=0.95):
    """The engine's answer to a forced request: this label, at this share of the mass."""
    other = next(one for one in request.choices if one != f" {label}")
    shares = {f" {label}": probability * mass, other: (1 - probability) * mass}
    logprobs = {name: math.log(share) for name, share in shares.items()}
    return Completion(f" {label}", "stop", NOTHING, (1, 2), (logprobs,))


def judge(exchange, text, finish_reason, *answers, **how):
    """The judgement where the engine answers so, and the forced requests."""
    asking = GUARD.judge(exchange)
    first = next(asking)
    assert first.stop_loops
    requests = []
    said = Completion(text, finish_reason, NOTHING, (9,))
    try:
        request = asking.send(said)
        for label in answers:
            requests.append(request)
            request = (
                asking.throw(label)
                if isinstance(label, Exception)
                else asking.send(forced(request, label, **how))
            )
    except StopIteration as end:
        return end.value, requests, (first, said)
    raise AssertionError(f"it asks for more: {request}")


def labels(judgement):
    return tuple(judgement.reading(task).label for task in STANDARD_TASKS)


@pytest.mark.parametrize("finish_reason", ["length", "repetition"])
def test_what_was_cut_off_is_asked_for_every_task(finish_reason):
    judgement, requests, (first, said) = judge(
        ANSWERED, SECTIONS[:80], finish_reason, "harmful", "refusal", "unharmful"
    )
    assert labels(judgement) == ("harmful", "refusal", "unharmful")
    assert judgement.status == "complete"
    assert {judgement.reading(task).source for task in STANDARD_TASKS} == {"repair"}
    assert judgement.reading("prompt_harmfulness").score == 0.9
    assert judgement.reading("response_harmfulness").score == 0.1
    assert "repaired" in judgement.flags
    assert ("truncated" in judgement.flags) == (finish_reason == "length")
    assert ("looping" in judgement.flags) == (finish_reason == "repetition")
    assert judgement.reasoning, "the reasoning is kept"
    one, two, three = requests
    assert one.prompt == Continuation(first, "\n\n---\n\nAnswers: \nRequest:", said)
    assert (two.prompt.of, two.prompt.text) == (one, "\nCompletion:")
    assert (three.prompt.of, three.prompt.text) == (two, "\nResponse:")
    assert all(one.scores == (LabelPlace(one.choices),) for one in requests)


def test_without_a_response_only_the_request_is_asked_for():
    judgement, requests, _ = judge(ALONE, "# Task 1\n", "length", "unharmful")
    assert labels(judgement) == ("unharmful", None, None)
    assert judgement.status == "complete"
    assert len(requests) == 1


def test_labels_that_were_read_are_kept_and_told_to_the_model():
    text = SECTIONS.replace("The answer is compliance.", "So it is.")
    text += "\n---\nAnswers: \nRequest: unharmful\nResponse: unharmful"
    judgement, requests, _ = judge(ANSWERED, text, "stop", "compliance")
    assert labels(judgement) == ("unharmful", "compliance", "unharmful")
    assert [judgement.reading(t).source for t in STANDARD_TASKS] == ["answer", "repair", "answer"]
    (only,) = requests
    assert only.prompt.text == "\n\n---\n\nAnswers: \nRequest: unharmful\nCompletion:"


@pytest.mark.parametrize("mass", [0.0001, 0.49])
def test_an_answer_that_the_model_was_not_about_to_give_is_not_believed(mass):
    judgement, _, _ = judge(ALONE, "no form at all", "stop", "harmful", mass=mass)
    assert judgement.reading("prompt_harmfulness") == Reading()
    assert judgement.status == "inconclusive"
    assert "answer_improbable" in judgement.flags


@pytest.mark.parametrize("refused", [InvalidRequest("-"), PromptTooLong("-")])
@pytest.mark.parametrize("before", [(), ("harmful",)])
def test_where_no_room_is_left_it_stays_inconclusive(refused, before):
    judgement, _, _ = judge(ANSWERED, "…", "length", *before, refused)
    assert judgement.status == "inconclusive"
    assert labels(judgement) == (*before, *(None,) * (3 - len(before)))


@pytest.mark.parametrize(
    "text",
    [USUAL, "Answers: \nRequest: harmful\nCompletion: refusal\nResponse: unharmful\n" + USUAL],
)
def test_a_complete_or_contradicting_completion_is_not_asked_again(text):
    judgement, requests, _ = judge(ANSWERED, text, "stop")
    assert not requests
    assert "repaired" not in judgement.flags


def test_without_a_completion_of_the_repair_it_is_read_as_it_is():
    cut = [Completion(SECTIONS, "length", NOTHING)]
    assert read_completions(GUARD, ANSWERED, cut) == read_completions(
        GuardReasoner(), ANSWERED, cut
    )


def test_a_forced_label_is_marked_where_it_is():
    texts = [("# Task 1\n", "length"), (" harmful", "stop"), (" refusal", "stop")]
    completions = [Completion(text, reason, NOTHING) for text, reason in texts]
    first, *forced = GUARD.spans(ANSWERED, completions)
    assert [span.kind for span in first] == []
    assert forced == [
        (CompletionSpan(1, 8, "label", "prompt_harmfulness"),),
        (CompletionSpan(1, 8, "label", "response_refusal"),),
    ]


@given(st.text(max_size=200), st.sampled_from(["stop", "length", "repetition", None]))
def test_no_completion_is_unreadable(text, finish_reason):
    asking = GUARD.judge(ANSWERED)
    next(asking)
    said = Completion(text, finish_reason, NOTHING)
    try:
        request = asking.send(said)
        while True:
            request = asking.send(forced(request, request.choices[0].strip()))
    except StopIteration as end:
        judgement = end.value
    assert judgement.status == "complete" or "conflicting_answers" in judgement.flags
    assert set(judgement.flags) <= GUARD.flags.keys()


async def test_the_worst_completions_are_all_read():
    clock = QuickClock()
    engine = SimulatedEngine(behaviour=Behaviour(cut_rate=1.0), clock=clock)
    judging = build_judge(engine, clock, guard=GUARD)
    reasons, repaired = set(), 0
    for number in range(EVENTS):
        response = b', "response": "x"' if number % 2 else b""
        line = b'{"id": "%d", "prompt": "%s"%s}' % (number, b"w " * (number % 400 + 1), response)
        (preparation,) = await judging.prepare([record_of_line("t", number, line, 0.0)])
        verdict = await judging.judge(preparation.exchanges[0])
        assert verdict.status == "complete", verdict
        reasons.add(verdict.finish_reason)
        for task in STANDARD_TASKS[: 3 if number % 2 else 1]:
            reading = getattr(verdict, task)
            assert reading.label
            repaired += reading.source == "repair"
        for task in STANDARD_TASKS[3 if number % 2 else 1 :]:
            assert getattr(verdict, task) == Reading(), "no label for what was not given"
    assert reasons == {"stop", "length", "repetition"}
    assert repaired > EVENTS
