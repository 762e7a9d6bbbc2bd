"""Forced answers for completions that give none: cut off, looping, or in another form.

The completion stays as it is, the heading of the answers follows it, and for each task without a
label the model chooses one of the two labels. The engine computes only the added tokens, since what
comes before them is in its prefix cache. The probability of both labels together shows whether the
model was about to answer there at all: below a floor the task has no label.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace

from worker.domain.calibration import SCORE_DIGITS
from worker.domain.engines import Completion, Continuation, EngineRequest, LabelPlace
from worker.domain.errors import InvalidRequest, PromptTooLong
from worker.domain.judgements import NO_READING, Judgement, Reading, status_of
from worker.domain.questions import STANDARD_QUESTIONS, Question
from worker.guards.guardreasoner.answers import (
    headings,
    label_of,
    questions_of,
    stage_scores,
    written,
)
from worker.guards.guardreasoner.scan import TASKS

REPAIRED = "repaired"
IMPROBABLE = "answer_improbable"
# two answers that disagree are an answer
_NOT_REPAIRED = "conflicting_answers"
_END_OF_REASONING = "\n\n---\n\n"
# labels have up to three tokens
_MOST_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Repair:
    """How completions without an answer are repaired.

    Attributes:
        least_mass: of the labels together, below which the answer is not believed.
    """

    least_mass: float = 0.5


def wants_repair(judgement: Judgement) -> bool:
    """Whether a task that applies has no label, and the completion does not contradict itself."""
    return judgement.status == "inconclusive" and _NOT_REPAIRED not in judgement.flags


def tasks_without_label(judgement: Judgement, *, has_response: bool) -> list[str]:
    """The tasks that apply and have no label, in the order in which they are asked for."""
    tasks = TASKS if has_response else TASKS[:1]
    return [task for task in tasks if judgement.reading(task).label is None]


def repaired(
    request: EngineRequest,
    completion: Completion,
    judgement: Judgement,
    *,
    has_response: bool,
    repair: Repair,
) -> Generator[EngineRequest, Completion, Judgement]:
    """Ask for the labels that a completion lacks; the judgement with those that were given.

    Args:
        request: the one that was completed.
        completion: of it.
        judgement: on it, which lacks a label.
        has_response: without a response, only the first task is asked for.
        repair: how.
    """
    readings = dict(judgement.readings)
    flags = list(judgement.flags)
    of, after, text = request, completion, _END_OF_REASONING
    for question, heading in headings(questions_of(has_response=has_response)):
        task = question.name
        label = readings.get(task, NO_READING).label
        text += heading
        if label is not None:
            text += written(label)
            continue
        choices = tuple(map(written, question.labels))
        forced = EngineRequest(
            Continuation(of, text, after),
            max_tokens=_MOST_TOKENS,
            choices=choices,
            scores=(LabelPlace(choices),),
        )
        try:
            answer = yield forced
        except (InvalidRequest, PromptTooLong):
            break  # the context of the model is full
        readings[task] = _reading(question, answer, repair)
        flags.append(REPAIRED if readings[task].label else IMPROBABLE)
        of, after, text = forced, answer, ""
    return replace(
        judgement,
        status=status_of(STANDARD_QUESTIONS, readings, has_response=has_response),
        readings=readings,
        flags=tuple(dict.fromkeys(flags)),
    )


def _reading(question: Question, answer: Completion, repair: Repair) -> Reading:
    (found,) = stage_scores((question,), answer.logprobs, "reasoned") or (None,)
    if found is None or found.mass < repair.least_mass:
        return Reading()
    score = round(found.raw, SCORE_DIGITS)
    return Reading(label_of(question, score), score, "repair")
