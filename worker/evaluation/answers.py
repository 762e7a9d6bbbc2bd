"""A guard's predictions for an event, from the engine or from a file."""

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
    """The predicted labels, all null where there is nothing to read.

    Attributes:
        reason: a sentence that says why it was not judged.
    """

    status: Status | Literal["unjudged"]
    predicted: dict[Task, Label | None] = field(default_factory=lambda: dict.fromkeys(Task))
    flags: tuple[str, ...] = ()
    reason: str | None = None


def unjudged(reason: str) -> Answer:
    """No answer; it counts as labels that cannot be read."""
    return Answer("unjudged", reason=reason)


@dataclass(frozen=True, slots=True)
class StoredCompletion:
    """A completion as it is stored: a line that `guardstream parse` reads too.

    Attributes:
        rendered_sha256: of the prompt's text.
        flags: those found in the prompt; null in files of other programs.
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
    """The sha256 of the exact prompt; it differs with the text and with the template."""
    exchange = labelled.exchange
    text = guard.render(exchange.prompt, exchange.response).text
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_answer(labelled: LabelledEvent, guard: Guard, stored: StoredCompletion) -> Answer:
    """Read a completion as the worker does."""
    exchange = labelled.exchange
    judgement = guard.read(
        stored.completion,
        has_response=exchange.response is not None,
        finish_reason=stored.finish_reason,
    )
    before = stored.flags
    if before is None:
        before = guard.imitations(exchange.prompt, exchange.response)
    predicted = {task: judgement.reading(task).label for task in Task}
    return Answer(judgement.status, predicted, (*before, *judgement.flags))
