"""The block of answers, in the pieces in which it is asked for and learnt.

Each heading and each label is tokenised separately. So the tokens are the same where a guard is
asked for its answers before any reasoning, where a completion is repaired, and in training rows.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from worker.domain.calibration import Stage
from worker.domain.engines import LabelPlace
from worker.domain.judgements import StageScore
from worker.domain.questions import STANDARD_QUESTIONS, Question
from worker.guards.guardreasoner.scan import FIELDS

BLOCK = "Answers: \n"
# more than the labels and headings of three questions have
BLOCK_TOKENS = 32
_NAMES = {task: name.capitalize() for name, task in FIELDS.items()}
FIRST_HEADING = f"{BLOCK}{_NAMES[STANDARD_QUESTIONS[0].name]}:"


def questions_of(*, has_response: bool) -> tuple[Question, ...]:
    """The questions that apply, in the order of the block."""
    return STANDARD_QUESTIONS if has_response else STANDARD_QUESTIONS[:1]


def headings(questions: Sequence[Question]) -> Iterator[tuple[Question, str]]:
    """Each question with the text that comes before its label."""
    before = BLOCK
    for question in questions:
        yield question, f"{before}{_NAMES[question.name]}:"
        before = "\n"


def written(label: str) -> str:
    """A label as it follows its heading."""
    return f" {label}"


def label_of(question: Question, probability: float, threshold: float = 0.5) -> str:
    """The positive label from this probability of it on, else the other one."""
    first, second = question.labels
    other = second if first == question.positive else first
    return question.positive if probability >= threshold else other


def places(questions: Sequence[Question]) -> tuple[LabelPlace, ...]:
    """Where a completion of the first heading has its labels."""
    return tuple(
        LabelPlace(tuple(map(written, question.labels)), heading if number else "")
        for number, (question, heading) in enumerate(headings(questions))
    )


def blocks(questions: Sequence[Question]) -> tuple[str, ...]:
    """Every way to complete the first heading."""
    found = [""]
    for number, (question, heading) in enumerate(headings(questions)):
        before = heading if number else ""
        found = [f"{text}{before}{written(label)}" for text in found for label in question.labels]
    return tuple(found)


def stage_scores(
    questions: Sequence[Question], logprobs: Sequence[Mapping[str, float]], stage: Stage
) -> tuple[StageScore, ...]:
    """The scores at the places of these questions; none for a place that is not there."""
    found = []
    for question, given in zip(questions, logprobs, strict=False):
        shares = {
            label: math.exp(given[written(label)])
            for label in question.labels
            if written(label) in given
        }
        if mass := sum(shares.values()):
            raw = shares.get(question.positive, 0.0) / mass
            found.append(StageScore(question.name, stage, raw, min(mass, 1.0)))
    return tuple(found)
