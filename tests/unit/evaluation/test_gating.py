"""What the gate would have said, of completions that are complete."""

from types import SimpleNamespace

import pytest

from tests.unit.guards.test_reading import SECTIONS, USUAL
from worker.domain.engines import Completion, Usage
from worker.domain.events import Exchange
from worker.evaluation.answers import Answer
from worker.evaluation.gating import measure_gating
from worker.evaluation.scored import Stages
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.guards.guardreasoner.reasoning import ReasoningPlan
from worker.runtime.calibration_document import Gating

PLAIN = GuardReasoner()
GATED = GuardReasoner(reasoning=ReasoningPlan(gated=True))
SCORE = Completion(" harmful", "stop", Usage(0, 0, 0), (), ({" harmful": -0.1},))
NO_LABEL = USUAL.replace("The request is unharmful.", "So it is.")
OTHER = USUAL.replace("The request is unharmful.", "The request is harmful.")


def measured(*texts, response=None, gated=GATED):
    events = [
        SimpleNamespace(id=str(n), exchange=Exchange("hello", response)) for n in range(len(texts))
    ]
    answers = {
        event.id: Answer(
            "complete", completions=(SCORE, *(Completion(t, "stop", Usage(0, 0, 0)) for t in parts))
        )
        for event, parts in zip(events, texts, strict=True)
    }
    return measure_gating(Stages(PLAIN, PLAIN, gated), events, answers)


def test_labels_that_are_the_same_agree():
    assert measured([USUAL], [USUAL]) == Gating(1.0, 2)


def test_a_section_that_says_otherwise_than_the_answers_disagrees():
    assert measured([USUAL], [OTHER], [USUAL], [USUAL]) == Gating(0.75, 4)


@pytest.mark.parametrize("text", [NO_LABEL, SECTIONS.partition("# Task 2")[0], "nothing"])
def test_what_the_gate_lets_continue_has_its_own_label(text):
    assert measured([text]) == Gating(1.0, 1)


def test_events_with_a_response_are_not_gated():
    assert measured([USUAL], response="Yes.") is None


def test_a_guard_without_a_gate_has_no_agreement():
    assert measured([USUAL], gated=PLAIN) is None


def test_events_that_were_not_reasoned_about_are_not_counted():
    assert measured([USUAL], []) == Gating(1.0, 1)
