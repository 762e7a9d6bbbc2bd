"""The columns of a table by what they hold, and the event of a row."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from worker.domain.questions import (
    PROMPT_HARMFULNESS,
    RESPONSE_HARMFULNESS,
    RESPONSE_REFUSAL,
    STANDARD_QUESTIONS,
    Question,
)

# the second is WildGuardTest's name (Han et al., arXiv:2406.18495)
_KNOWN: dict[str, tuple[str, ...]] = {
    "id": ("id",),
    "prompt": ("prompt",),
    "response": ("response",),
    PROMPT_HARMFULNESS.name: (PROMPT_HARMFULNESS.name, "prompt_harm_label"),
    RESPONSE_REFUSAL.name: (RESPONSE_REFUSAL.name, "response_refusal_label"),
    RESPONSE_HARMFULNESS.name: (RESPONSE_HARMFULNESS.name, "response_harm_label"),
}
_EVENT = ("id", "prompt", "response")
# the codes of an event's categories, among its labels
CATEGORIES = "categories"


class Row(NamedTuple):
    """A labelled event as bytes, and its place in the file."""

    place: str
    value: bytes


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that cannot be evaluated: its place, and a sentence that says why."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns by what they hold: those given by name, and the default names."""

    named: Mapping[str, str]
    questions: tuple[Question, ...] = STANDARD_QUESTIONS

    @property
    def fields(self) -> tuple[str, ...]:
        """What columns can hold: the event, a label for each question, and categories."""
        return (*_EVENT, *(question.name for question in self.questions), CATEGORIES)

    def candidates(self, field: str) -> tuple[str, ...]:
        """The columns that can hold this; the first that exists does."""
        named = self.named.get(field)
        if named is None and field == CATEGORIES:
            return ()  # columns of this name hold many things: only one that is named is read
        return (named,) if named is not None else _KNOWN.get(field, (field,))

    def column(self, field: str, there: Collection[str]) -> str | None:
        """The column that holds this, of those that exist."""
        return next((name for name in self.candidates(field) if name in there), None)

    def have_labels(self, there: Collection[str]) -> bool:
        """Whether one of those that exist holds labels."""
        return any(self.column(one.name, there) is not None for one in self.questions)

    def missing(self, there: Collection[str]) -> list[str]:
        """The columns that a table lacks."""
        lacking = [name for name in self.named.values() if name not in there]
        if "prompt" not in self.named and self.column("prompt", there) is None:
            lacking.append("prompt")
        if not self.have_labels(there) and not any(
            one.name in self.named for one in self.questions
        ):
            lacking.append(" or ".join(self.candidates(one.name)[-1] for one in self.questions))
        return lacking


def row_event(place: str, row: Mapping[str, Any], columns: Columns) -> Row | LeftOut:
    """The labelled event of a table's row; all other columns become metadata."""
    held = {field: columns.column(field, row) for field in columns.fields}
    values = {field: row[name] for field, name in held.items() if name is not None}
    name = values.get("id")
    event = {
        "id": None if name is None else str(name),
        "prompt": values.get("prompt"),
        "response": values.get("response"),
        "labels": {
            name: values.get(name)
            for name in (*(one.name for one in columns.questions), CATEGORIES)
        },
        "metadata": {name: cell for name, cell in row.items() if name not in held.values()},
    }
    try:
        return Row(place, orjson.dumps(event, default=str))
    except orjson.JSONEncodeError:
        return LeftOut(place, "The row holds text that is not UTF-8.")
