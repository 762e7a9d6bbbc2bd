"""What a guard said of an event: the labels that are scored, however they were come by."""

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from worker.domain.guard import Guard
from worker.domain.verdicts import (
    EngineReference,
    FinishReason,
    GuardReference,
    Label,
    Status,
    Task,
    Usage,
)
from worker.evaluation.labelled import LabelledEvent


@dataclass(frozen=True, slots=True)
class Answer:
    """The labels that were read, all null where there is nothing to read.

    Attributes:
        reason: why it was not judged, in a sentence.
    """

    status: Status | Literal["unjudged"]
    said: dict[Task, Label | None] = field(default_factory=lambda: dict.fromkeys(Task))
    flags: tuple[str, ...] = ()
    reason: str | None = None


def unjudged(reason: str) -> Answer:
    """The answer that there is none, which counts as labels that cannot be read."""
    return Answer("unjudged", reason=reason)


@dataclass(frozen=True, slots=True)
class StoredCompletion:
    """A completion as it lies in a file: a line that `guardstream parse` reads too.

    Attributes:
        rendered_sha256: of the prompt's text.
        flags: what was seen before the engine was asked. Files of other programs lack these.
    """

    id: str
    completion: str
    has_response: bool | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    rendered_sha256: str | None = None
    flags: tuple[str, ...] | None = None
    guard: GuardReference | None = None
    engine: EngineReference | None = None


def rendered_sha256(labelled: LabelledEvent, guard: Guard) -> str:
    """The sum of the exact prompt: another text or template, another sum."""
    exchange = labelled.exchange
    text = guard.render(exchange.prompt, exchange.response).text
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_answer(labelled: LabelledEvent, guard: Guard, stored: StoredCompletion) -> Answer:
    """What the guard reads out of a completion, as the worker does."""
    exchange = labelled.exchange
    judgement = guard.read(
        stored.completion,
        has_response=exchange.response is not None,
        finish_reason=stored.finish_reason,
    )
    before = stored.flags
    if before is None:
        before = guard.imitations(exchange.prompt, exchange.response)
    said = {task: judgement.reading(task).label for task in Task}
    return Answer(judgement.status, said, (*before, *judgement.flags))
