"""Labelled events with the scores of both stages: what a calibration is made of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from worker.domain.engines import Completion
from worker.domain.guard import Guard, read_completions
from worker.domain.judgements import Judgement
from worker.evaluation.answers import Answer
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
    """An event with its labels, and what the guard answered at both stages.

    Attributes:
        labels: of the data.
        reasoned: the guard's labels after reasoning, as `always` gives them.
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


class Stages(NamedTuple):
    """The same guard in several ways.

    Attributes:
        both: as it is asked for the scores of both stages.
        reasoned: as it reads the reasoning alone.
        gated: as it stops early where there is no response.
    """

    both: Guard
    reasoned: Guard
    gated: Guard


def scored_events(
    guards: Stages, events: Iterable[LabelledEvent], answers: Mapping[str, Answer]
) -> tuple[list[ScoredEvent], list[NotScored]]:
    """The events that have a score of each question that applies, at both stages; and the others.

    The answers are those of a guard that scores first and then reasons about every event.
    """
    scored: list[ScoredEvent] = []
    others: list[NotScored] = []
    for event in events:
        found = _scored(guards, event, answers[event.id])
        if isinstance(found, ScoredEvent):
            scored.append(found)
        else:
            others.append(found)
    return scored, others


def _scored(guards: Stages, event: LabelledEvent, answer: Answer) -> ScoredEvent | NotScored:
    if answer.status == "unjudged":
        return NotScored(event.id, answer.reason or "It was not judged.")
    before, after = split(answer.completions)
    both = read_completions(guards.both, event.exchange, answer.completions)
    _, alone = split_judgement(guards, event, answer)
    if both is None or alone is None:
        return NotScored(event.id, "It was not scored and reasoned about.")
    by_place = {(one.question, one.stage): one for one in both.scores}
    scores = {}
    for question in guards.both.questions:
        if not question.applies(has_response=event.exchange.response is not None):
            continue
        first = by_place.get((question.name, "first"))
        reasoned = by_place.get((question.name, "reasoned"))
        if first is None or reasoned is None:
            stage = "before" if first is None else "after"
            return NotScored(event.id, f"There is no score of {question.name} {stage} reasoning.")
        scores[question.name] = RawScore(first.raw, first.mass, reasoned.raw, reasoned.mass)
    labels = {name: reading.label for name, reading in alone.readings.items()}
    return ScoredEvent(event.labels, labels, scores, _cost(before), _cost(after))


def split_judgement(
    guards: Stages, event: LabelledEvent, answer: Answer
) -> tuple[Sequence[Completion], Judgement | None]:
    """The reasoning with all that follows it, and the judgement on it alone.

    Both stages together may say another label.
    """
    _, after = split(answer.completions)
    alone = read_completions(guards.reasoned, event.exchange, after) if after else None
    return after, alone


def split(completions: Sequence[Completion]) -> tuple[Sequence[Completion], Sequence[Completion]]:
    """What was said before the reasoning, and the rest.

    The reasoning is the first completion that was not asked for scores.
    """
    first = list(takewhile(lambda one: bool(one.logprobs), completions))
    return first, completions[len(first) :]


def _cost(completions: Sequence[Completion]) -> Cost:
    return Cost(sum(one.usage.completion_tokens for one in completions), len(completions))
