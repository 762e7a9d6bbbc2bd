"""Labelled events with the scores of both stages: what a calibration is made of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from worker.domain.questions import Question
from worker.evaluation.answers import Answer, RequestCost
from worker.evaluation.labelled import LabelledEvent


class RawScore(NamedTuple):
    """Scores of a question before and after reasoning, and the mass of its labels at each."""

    first: float
    first_mass: float
    reasoned: float
    reasoned_mass: float


class Cost(NamedTuple):
    """Decoded tokens and requests of a stage."""

    tokens: int
    requests: int


@dataclass(frozen=True, slots=True)
class ScoredEvent:
    """An event with its labels, and what the guard said of it at both stages.

    Attributes:
        labels: of the data.
        reasoned: the guard's labels after reasoning, which `always` gives.
        scores: of each question that applies.
        first: cost of the scores before reasoning.
        after: cost of the reasoning and of all that follows it.
    """

    labels: Mapping[str, str | None]
    reasoned: Mapping[str, str | None]
    scores: Mapping[str, RawScore]
    first: Cost
    after: Cost


class NotScored(NamedTuple):
    """An event that lacks a score, and why, as a sentence."""

    id: str
    reason: str


def scored_events(
    questions: Sequence[Question], events: Iterable[LabelledEvent], answers: Mapping[str, Answer]
) -> tuple[list[ScoredEvent], list[NotScored]]:
    """The events that have a score of each question that applies, at both stages; and the others.

    The answers are those of a guard that scores first and then reasons about every event.
    """
    scored: list[ScoredEvent] = []
    others: list[NotScored] = []
    for event in events:
        found = _scored(questions, event, answers[event.id])
        if isinstance(found, ScoredEvent):
            scored.append(found)
        else:
            others.append(found)
    return scored, others


def _scored(
    questions: Sequence[Question], event: LabelledEvent, answer: Answer
) -> ScoredEvent | NotScored:
    if answer.status == "unjudged":
        return NotScored(event.id, answer.reason or "It was not judged.")
    by_place = {(one.question, one.stage): one for one in answer.stages}
    has_response = event.exchange.response is not None
    scores = {}
    for question in questions:
        if not question.applies(has_response=has_response):
            continue
        first = by_place.get((question.name, "first"))
        reasoned = by_place.get((question.name, "reasoned"))
        if first is None or reasoned is None:
            stage = "before" if first is None else "after"
            return NotScored(event.id, f"There is no score of {question.name} {stage} reasoning.")
        scores[question.name] = RawScore(first.raw, first.mass, reasoned.raw, reasoned.mass)
    before, after = stage_costs(answer.requests)
    return ScoredEvent(event.labels, answer.predicted, scores, before, after)


def stage_costs(requests: Sequence[RequestCost]) -> tuple[Cost, Cost]:
    """What was spent before the reasoning, and from it on.

    The reasoning is the first request that asks for no scores.
    """
    first = list(takewhile(lambda one: one.is_scored, requests))
    return _cost(first), _cost(requests[len(first) :])


def _cost(requests: Sequence[RequestCost]) -> Cost:
    return Cost(sum(one.tokens for one in requests), len(requests))
