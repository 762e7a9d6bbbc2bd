"""Completions and verdicts in files, read back; an incomplete last line is skipped."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from worker.domain.engines import EngineReference
from worker.domain.errors import UnusableFile
from worker.domain.guard import Guard
from worker.domain.verdict_records import read_verdict
from worker.domain.verdicts import GuardReference, Verdict
from worker.evaluation.answers import (
    Answer,
    StoredCompletion,
    distinct_codes,
    read_answer,
    rendered_sha256,
    scores_of,
    unjudged,
)
from worker.evaluation.labelled import LabelledEvent

_COMPLETION = TypeAdapter(StoredCompletion)


@dataclass(slots=True)
class Stored:
    """The completions or verdicts of a file; of several lines with one id the last counts."""

    completions: dict[str, StoredCompletion] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    guards: set[GuardReference | None] = field(default_factory=set)
    engines: set[EngineReference | None] = field(default_factory=set)

    def answer(self, labelled: LabelledEvent, guard: Guard) -> Answer:
        """The stored answer to this event, or why there is none."""
        if (verdict := self.verdicts.get(labelled.id)) is not None:
            readings = verdict.readings()
            return Answer(
                verdict.status,
                {name: reading.label for name, reading in readings.items()},
                verdict.flags,
                scores=scores_of(readings),
                reasoned=verdict.reasoned,
                usage=verdict.usage,
                categories=distinct_codes(verdict.categories),
            )
        stored = self.completions.get(labelled.id)
        if stored is None:
            return unjudged("There is no completion or verdict with this id.")
        if not is_of(stored, labelled, guard):
            return unjudged("The completion with this id answers another prompt.")
        return read_answer(labelled, guard, stored)

    @property
    def guard(self) -> GuardReference | None:
        """The guard that answered, if the lines name it."""
        return next(iter(self.guards), None)

    @property
    def engine(self) -> EngineReference | None:
        """The engine that answered, if the lines name it."""
        return next(iter(self.engines), None)


def is_of(stored: StoredCompletion, labelled: LabelledEvent, guard: Guard) -> bool:
    """Whether a completion answers the prompt that this event has now."""
    # the prompt may need a model that is not here
    return stored.rendered_sha256 is None or stored.rendered_sha256 == rendered_sha256(
        labelled, guard
    )


def read_stored(path: Path) -> Stored:
    """The completions or verdicts of a file.

    Raises:
        UnusableFile: it cannot be read, a line is neither, or several guards wrote it.
    """
    stored = Stored()
    try:
        for number, line in enumerate(_whole_lines(path), start=1):
            try:
                _take(orjson.loads(line), stored)
            except (orjson.JSONDecodeError, ValidationError, TypeError):
                raise UnusableFile(
                    f"{path}, line {number}: neither a completion nor a verdict."
                ) from None
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}.") from None
    if len(stored.guards) > 1 or len(stored.engines) > 1:
        raise UnusableFile(
            f"{path} holds answers of several guards or engines; use a file for each."
        )
    return stored


def _take(data: dict[str, Any], stored: Stored) -> None:
    source: StoredCompletion | Verdict
    if "event_id" in data:
        source = read_verdict(data)
        stored.verdicts[source.event_id] = source
    else:
        source = _COMPLETION.validate_python({**data, "id": str(data.get("id"))})
        stored.completions[source.id] = source
    stored.guards.add(source.guard)
    stored.engines.add(source.engine)


def _whole_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n") or is_json(line):
                yield line


def is_json(line: bytes) -> bool:
    """Whether a line is complete JSON; its newline may be missing."""
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True
