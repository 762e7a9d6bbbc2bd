"""Labelled events: exchanges with the labels that people gave them.

A line of JSON is an event with `labels`, or a row of named columns as in a table. A row that cannot
be used is left out and reported with the reason.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from worker.decoding.events import decode_event
from worker.domain.errors import GuardstreamError, RecordError, UnusableFile
from worker.domain.escaping import printable
from worker.domain.events import Event, Exchange, judged_exchange
from worker.domain.questions import STANDARD_QUESTIONS, Question
from worker.evaluation.columns import CATEGORIES, Columns, LeftOut, Row, row_event
from worker.evaluation.tables import SUFFIXES, read_table

_SHOWN_CHARACTERS = 40


class _BadLabels(GuardstreamError):  # noqa: N818
    """The labels of a row cannot be used."""


@dataclass(frozen=True, slots=True)
class LabelledEvent:
    """An event with its labels.

    Attributes:
        place: its place in the file, as `line 7`.
        id: the event's own, or else its place.
        value: the event as it would be on the topic.
        categories: the codes of its categories; None where they have no labels.
    """

    place: str
    id: str
    value: bytes
    event: Event
    exchange: Exchange
    labels: dict[str, str | None]
    categories: tuple[str, ...] | None = None

    @property
    def exchange_sha256(self) -> str:
        """The sha256 of what is judged."""
        both = orjson.dumps([self.exchange.prompt, self.exchange.response])
        return hashlib.sha256(both).hexdigest()


@dataclass(frozen=True, slots=True)
class Labelled:
    """A file's labelled events in their order, and the rows that were left out."""

    name: str
    sha256: str
    events: list[LabelledEvent] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    questions: tuple[Question, ...] = STANDARD_QUESTIONS


def read_labelled(path: Path, columns: Columns) -> Labelled:
    """The labelled events of a file: a table by its suffix, or else JSON Lines.

    Raises:
        UnusableFile: it cannot be read, or has no rows.
    """
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        found = Labelled(path.name, sha256, questions=columns.questions)
        tabular = path.suffix.lower() in SUFFIXES
        _sort(read_table(path, columns) if tabular else _json_rows(path, columns), found)
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}.") from None
    if not found.events and not found.left_out:
        raise UnusableFile(f"{path} has no rows: there is nothing to evaluate.")
    return found


def _sort(rows: Iterator[Row | LeftOut], found: Labelled) -> None:
    """Decode each row, and leave out what cannot be used."""
    places: dict[str, str] = {}
    for row in rows:
        if isinstance(row, LeftOut):
            found.left_out.append(row)
            continue
        try:
            labelled = read_event(row.place, row.value, found.questions)
        except (RecordError, _BadLabels) as error:
            found.left_out.append(LeftOut(row.place, str(error)))
            continue
        first = places.setdefault(labelled.id, row.place)
        if first == row.place:
            found.events.append(labelled)
        else:
            found.left_out.append(LeftOut(row.place, f"Its id is already that of {first}."))


def _json_rows(path: Path, columns: Columns) -> Iterator[Row | LeftOut]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            place = f"line {number}"
            data = _object(line)
            if "labels" not in data and columns.have_labels(data):
                yield row_event(place, data, columns)
            elif line.strip():
                yield Row(place, line.rstrip(b"\r\n"))


def _object(line: bytes) -> dict[str, Any]:
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}  # `decode_event` reports what is wrong
    return data if isinstance(data, dict) else {}


def read_event(
    place: str, value: bytes, questions: Sequence[Question] = STANDARD_QUESTIONS
) -> LabelledEvent:
    """An event with its labels.

    Raises:
        GuardstreamError: it cannot be judged, or its labels cannot be used.
    """
    event = decode_event(value)
    exchange = judged_exchange(event)
    given = _given(_object(value))
    categories = _categories(given.get(CATEGORIES))
    labels = _labels(given, questions)
    if categories is None and not any(labels.values()):
        raise _BadLabels("The row has no labels: all are null.")
    for question in questions:
        applies = question.applies(has_response=exchange.response is not None)
        if labels[question.name] is not None and not applies:
            raise _BadLabels(f"There is a label for {question.name}, but no response.")
    name = event.id or place.replace(" ", "-")
    return LabelledEvent(place, name, value, event, exchange, labels, categories)


def _given(data: dict[str, Any]) -> dict[str, Any]:
    """The labels of a row as they are written."""
    given = data.get("labels")
    if given is None and isinstance(data.get("data"), dict):
        given = data["data"].get("labels")  # of a CloudEvent
    if given is None:
        raise _BadLabels("The row has no labels.")
    if not isinstance(given, dict):
        raise _BadLabels("labels is not an object with a label for each task.")
    return given


def _labels(given: dict[str, Any], questions: Sequence[Question]) -> dict[str, str | None]:
    names = [question.name for question in questions]
    if unknown := given.keys() - {*names, CATEGORIES}:
        raise _BadLabels(f"labels.{_shown(min(unknown))} is none of {', '.join(names)}.")
    return {question.name: _label(question, given.get(question.name)) for question in questions}


def _categories(given: Any) -> tuple[str, ...] | None:
    """The codes of a list, or of a text with commas between them, as a table's cell has it."""
    if given is None:
        return None
    codes = given.split(",") if isinstance(given, str) else given
    if not isinstance(codes, list) or not all(isinstance(one, str) for one in codes):
        raise _BadLabels(f"labels.{CATEGORIES} is not a list of codes.")
    return tuple(dict.fromkeys(code.strip() for code in codes if code.strip()))


def _label(question: Question, word: Any) -> str | None:
    if word is None or word in question.labels:
        label: str | None = word
        return label
    *labels, last = question.labels
    raise _BadLabels(
        f"{_shown(word)} is no label of {question.name}: use {', '.join(labels)}, {last} or null."
    )


def _shown(word: Any) -> str:
    text = printable(str(word))
    return f"{text[:_SHOWN_CHARACTERS]}…" if len(text) > _SHOWN_CHARACTERS else text
