"""The questions of a description: the standard tasks by short names, and those that it adds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worker.domain.questions import STANDARD_QUESTIONS, About, Question
from worker.guards.declared.description import TASKS, Call, OwnQuestion
from worker.guards.declared.placeholders import resolved

EACH = "{each}"
_STANDARD = dict(
    zip(
        TASKS,
        # the order of the short names: request, refusal, response
        STANDARD_QUESTIONS,
        strict=True,
    )
)


def entries(call: Call, options: Mapping[str, Any]) -> Iterator[str | None]:
    """One for each request of a call: an entry of the option of `for_each`, or None alone."""
    if call.for_each is None:
        yield None
        return
    given = options.get(call.for_each)
    yield from given if isinstance(given, list | dict) else ()


def text_of(call: Call, each: str | None, options: Mapping[str, Any]) -> str | None:
    """The text of an entry, where the option of `for_each` is a mapping."""
    given = options.get(call.for_each or "")
    return given[each] if isinstance(given, dict) and each is not None else None


def question_about(task: str, about: str, own: Sequence[OwnQuestion]) -> About | None:
    """What a question is about; None if there is no such question."""
    if (standard := _STANDARD.get(task)) is not None:
        return standard.about
    found = _own(task, about, own)
    return None if found is None else found.about


def labels_of(task: str, about: str, own: Sequence[OwnQuestion]) -> tuple[str, ...]:
    """The labels of a question; none if there is no such question."""
    if (standard := _STANDARD.get(task)) is not None:
        return standard.labels
    found = _own(task, about, own)
    return () if found is None else tuple(found.labels)


def question_of(
    task: str, about: str, own: Sequence[OwnQuestion], values: Mapping[str, Any]
) -> Question:
    """The question of a checked description."""
    if (standard := _STANDARD.get(task)) is not None:
        return standard
    found = _own(task, about, own)
    if found is None:
        raise KeyError(task)
    name, asks, heading = (
        str(resolved(text, values)) for text in (found.name, found.asks, found.heading)
    )
    return Question(name, found.about, tuple(found.labels), found.positive, asks, heading or name)


def in_standard_order(questions: Sequence[Question]) -> tuple[Question, ...]:
    """Each question once, the standard tasks first."""
    once = dict.fromkeys(questions)
    standard = [one for one in STANDARD_QUESTIONS if one in once]
    return (*standard, *(one for one in once if one not in standard))


def _own(task: str, about: str, own: Sequence[OwnQuestion]) -> OwnQuestion | None:
    named = [one for one in own if one.name == task]
    # `{each}` can be declared for both
    return next((one for one in named if one.about == about), named[0] if named else None)
