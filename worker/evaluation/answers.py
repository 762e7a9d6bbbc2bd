"""A guard's predictions for an event, from the engine or from a file."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from worker.domain.engines import (
    Completion,
    EngineReference,
    FinishReason,
    Usage,
    stored_completions,
)
from worker.domain.guard import Guard, first_prompt, read_completions
from worker.domain.judgements import Category, Reading, Status
from worker.domain.verdicts import GuardReference
from worker.evaluation.labelled import LabelledEvent


@dataclass(frozen=True, slots=True)
class Answer:
    """The predicted labels, all null where there is nothing to read.

    Attributes:
        reason: a sentence that says why it was not judged.
        scores: the probability of the positive label, by question, where one was asked for.
        reasoned: whether the guard reasoned; null where that is not known.
        usage: tokens of all requests; null where that is not known.
        categories: the codes that were found, each once.
        completions: in order, each with its tokens where they are known; empty for a verdict.
    """

    status: Status | Literal["unjudged"]
    predicted: dict[str, str | None] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    reason: str | None = None
    scores: dict[str, float] = field(default_factory=dict)
    reasoned: bool | None = None
    usage: Usage | None = None
    completions: tuple[Completion, ...] = ()
    categories: tuple[str, ...] = ()


def unjudged(reason: str) -> Answer:
    """No answer; it counts as labels that cannot be read."""
    return Answer("unjudged", reason=reason)


@dataclass(frozen=True, slots=True)
class StoredCompletion:
    """A completion as it is stored: a line that `guardstream parse` reads too.

    Attributes:
        completion: a list of texts where the guard asks more than once.
        finish_reason: of the last one, or of the first that was cut off.
        finish_reasons: of each, where there are several; so is `stopped_by`.
        logprobs: of each, where one was asked for some.
        rendered_sha256: of the first prompt's text.
        flags: of the engine and the exchange; null in files of other programs.
        tokens: decoded tokens of each completion, where there are several.
    """

    id: str
    completion: str | list[str]
    has_response: bool | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    rendered_sha256: str | None = None
    flags: tuple[str, ...] | None = None
    tokens: tuple[int, ...] | None = None
    guard: GuardReference | None = None
    engine: EngineReference | None = None
    finish_reasons: tuple[FinishReason | None, ...] | None = None
    logprobs: tuple[tuple[Mapping[str, float], ...], ...] | None = None
    stopped_by: tuple[str | None, ...] | None = None

    def completions(self) -> list[Completion]:
        """What was stored, in order."""
        return stored_completions(
            self.completion,
            self.finish_reason,
            self.finish_reasons,
            self.logprobs,
            self.stopped_by,
        )

    def completions_with_tokens(self) -> list[Completion]:
        """What was stored, in order, with the decoded tokens of each where that was stored."""
        completions, tokens = self.completions(), self.tokens
        if tokens is None and self.usage is not None and len(completions) == 1:
            tokens = (self.usage.completion_tokens,)
        if tokens is None:
            return completions
        return [
            replace(one, usage=Usage(0, count, 0))
            for one, count in zip(completions, tokens, strict=False)
        ]


def rendered_sha256(labelled: LabelledEvent, guard: Guard) -> str:
    """The sha256 of the exact first prompt; it differs with the text and with the template."""
    text = first_prompt(guard, labelled.exchange).text
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_answer(labelled: LabelledEvent, guard: Guard, stored: StoredCompletion) -> Answer:
    """Read completions as the worker does."""
    completions = tuple(stored.completions_with_tokens())
    judgement = read_completions(guard, labelled.exchange, completions)
    if judgement is None:
        return unjudged("The guard asks for more completions than are stored.")
    readings = {one.name: judgement.reading(one.name) for one in guard.questions}
    return Answer(
        judgement.status,
        {name: reading.label for name, reading in readings.items()},
        tuple(dict.fromkeys((*(stored.flags or ()), *judgement.flags))),
        scores=scores_of(readings),
        reasoned=judgement.reasoned,
        usage=stored.usage,
        completions=completions,
        categories=distinct_codes(judgement.categories),
    )


def distinct_codes(categories: Iterable[Category]) -> tuple[str, ...]:
    """The codes of categories, each once, in order."""
    return tuple(dict.fromkeys(one.code for one in categories))


def scores_of(readings: Mapping[str, Reading]) -> dict[str, float]:
    """The scores among the answers, by question."""
    return {name: one.score for name, one in readings.items() if one.score is not None}
