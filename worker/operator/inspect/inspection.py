"""The history of a record, to explain where a verdict came from.

A record is found by its position or by the id of its event. Its outcomes are found in the output
topics by the source that they name. There can be several: a repeated verdict, the verdict of
another guard, a dead letter before a verdict.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from worker.decoding.decoder import EventDecoder
from worker.decoding.events import decode_event
from worker.decoding.framing import unframe
from worker.decoding.json_values import parse_json
from worker.decoding.side_fields import identifier
from worker.domain.engines import Completion
from worker.domain.errors import NotAnEvent, RecordError
from worker.domain.events import Event, Exchange, Skip
from worker.domain.guard import CompletionSpan, Guard, first_prompt
from worker.domain.patterns import Pattern
from worker.domain.records import Partition, Record
from worker.domain.verdict_records import read_verdict
from worker.domain.verdicts import Verdict, rfc3339
from worker.flow.judge import Judge
from worker.flow.judging_all import judge_record
from worker.operator.redrive.redriving import DeadLetter, read_dead_letter, read_note

_POSITION = Pattern(r"([a-zA-Z0-9._-]{1,249})/(\d{1,9})[@/](\d{1,18})")


class Place(NamedTuple):
    """The position of a record."""

    partition: Partition
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}@{self.offset}"


def read_place(text: str) -> Place | None:
    """The position in `topic/partition@offset`; None for another format."""
    if (match := _POSITION.fullmatch(text)) is None:
        return None
    topic, partition, offset = match.groups()
    return Place(Partition(topic, int(partition)), int(offset))


@dataclass(frozen=True, slots=True)
class PublishedVerdict:
    """A verdict in its topic.

    Attributes:
        document: the published value, including fields that this version does not know.
        repeats: the record in which the same verdict was published first.
    """

    record: Record
    verdict: Verdict
    document: dict[str, Any]
    repeats: Record | None = None

    @property
    def source(self) -> Place:
        """The position of the judged record."""
        source = self.verdict.source
        return Place(Partition(source.topic, source.partition), source.offset)


def read_published(record: Record) -> PublishedVerdict | None:
    """The verdict in a record of the verdict topic; None for anything else."""
    try:
        document = orjson.loads(record.value or b"")
        return PublishedVerdict(record, read_verdict(document), document)
    except (orjson.JSONDecodeError, ValidationError):
        return None


@dataclass(frozen=True, slots=True)
class PublishedDeadLetter:
    """A dead letter in its topic, and whether it was sent back later."""

    dead_letter: DeadLetter
    sent_back: bool

    @property
    def record(self) -> Record:
        """The record of the dead letter."""
        return self.dead_letter.record


Outcome = PublishedVerdict | PublishedDeadLetter


class Search:
    """Selects the outcomes of a position or an event id from the records of the output topics."""

    def __init__(self, target: Place | str) -> None:
        self._target = target
        self._verdicts: defaultdict[Place, list[PublishedVerdict]] = defaultdict(list)
        self._dead_letters: defaultdict[Place, list[DeadLetter]] = defaultdict(list)
        self._sent_back: set[Place] = set()

    def add_verdict(self, record: Record) -> None:
        """Add a record of the verdict topic."""
        if isinstance(self._target, str):
            wanted = self._target.encode("utf-8", "replace")
            # avoids decoding the values of other events
            if ("guardstream.event_id", wanted) not in record.headers:
                return
        published = read_published(record)
        if published is not None and self._matches(published.source, published.verdict.event_id):
            self._verdicts[published.source].append(published)

    def add_dead_letter(self, record: Record) -> None:
        """Add a record of the dead-letter topic."""
        if (offsets := read_note(record)) is not None:
            self._sent_back |= {Place(record.partition, offset) for offset in offsets}
        elif (dead_letter := read_dead_letter(record)) is not None:
            source = Place(Partition(dead_letter.topic, dead_letter.partition), dead_letter.offset)
            if self._target == source or (
                isinstance(self._target, str) and self._target in _event_ids(dead_letter)
            ):
                self._dead_letters[source].append(dead_letter)

    @property
    def sources(self) -> list[Place]:
        """The positions of the records that have outcomes, the first outcome first."""
        return sorted(self._verdicts.keys() | self._dead_letters.keys(), key=self._first_at)

    def outcomes(self, source: Place) -> tuple[Outcome, ...]:
        """The outcomes of the record at this position, in the order of time."""
        dead_letters = (
            PublishedDeadLetter(
                dead_letter,
                Place(dead_letter.record.partition, dead_letter.record.offset) in self._sent_back,
            )
            for dead_letter in self._dead_letters.get(source, ())
        )
        found: list[Outcome] = [*self._verdicts.get(source, ()), *dead_letters]
        found.sort(key=_when)
        first: dict[str, Record] = {}
        for at, outcome in enumerate(found):
            if isinstance(outcome, PublishedVerdict):
                name = outcome.verdict.verdict_id
                if name in first:
                    found[at] = replace(outcome, repeats=first[name])
                first.setdefault(name, outcome.record)
        return tuple(found)

    def _matches(self, source: Place, event_id: str) -> bool:
        return self._target in {source, event_id}

    def _first_at(self, source: Place) -> tuple[int, Partition, int]:
        return _when(self.outcomes(source)[0])


def _when(outcome: Outcome) -> tuple[int, Partition, int]:
    record = outcome.record
    return record.timestamp_ms, record.partition, record.offset


def _event_ids(dead_letter: DeadLetter) -> Collection[str]:
    """The id of the event of a dead letter, as far as it can be read."""
    value, headers = dead_letter.record.value or b"", dict(dead_letter.headers)
    # with or without a frame: JSON never starts with byte 0
    try:
        value = unframe(value, "confluent" if value.startswith(b"\0") else "none")
        own = decode_event(value, headers).id
    except RecordError:
        own = _bare_id(value)
    return {own or f"{dead_letter.topic}-{dead_letter.partition}-{dead_letter.offset}"}


def _bare_id(value: bytes) -> str | None:
    """The id of a value that is not an event: users search for these in particular."""
    try:
        document = parse_json(value)
    except NotAnEvent:
        return None
    found = None
    while isinstance(document, dict):
        # the id of a CloudEvent counts only if its data has none
        found = identifier(document.get("id")) or found
        document = document.get("data") if "specversion" in document else None
    return found


@dataclass(frozen=True, slots=True)
class RecordHistory:
    """A record and its outcomes.

    Attributes:
        record: None if it is no longer available; `missing` is the reason, in a sentence.
        committed: the offset that the group committed in the record's partition.
        outcomes: in the order of time.
    """

    place: Place
    record: Record | None
    missing: str | None
    committed: int | None
    outcomes: tuple[Outcome, ...]

    @property
    def is_committed(self) -> bool:
        """Whether the group has committed an offset after the record."""
        return self.committed is not None and self.place.offset < self.committed

    @property
    def original(self) -> Record | None:
        """The record, or its copy in a complete dead letter."""
        if self.record is not None:
            return self.record
        for outcome in self.outcomes:
            if isinstance(outcome, PublishedDeadLetter) and outcome.dead_letter.complete:
                dead_letter = outcome.dead_letter
                return replace(
                    dead_letter.record,
                    partition=self.place.partition,
                    offset=self.place.offset,
                    headers=dead_letter.headers,
                )
        return None

    @property
    def verdicts(self) -> list[PublishedVerdict]:
        """The verdicts among the outcomes, including repeats."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, PublishedVerdict)]

    @property
    def latest(self) -> PublishedVerdict | None:
        """The last verdict."""
        return self.verdicts[-1] if self.verdicts else None

    def is_of_this_record(self, published: PublishedVerdict) -> bool:
        """False if the topic was recreated and the verdict is on an earlier record."""
        if self.record is None:
            return True
        stamped = rfc3339(max(self.record.timestamp_ms, 0) / 1000)
        return published.verdict.source.timestamp == stamped


@dataclass(frozen=True, slots=True)
class Decoded:
    """A record decoded and rendered, before the engine is asked."""

    event: Event
    exchange: Exchange
    prompt: str


def decode(record: Record, guard: Guard, decoder: EventDecoder) -> Decoded:
    """The event of a record, and its exact first prompt.

    Raises:
        RecordError: the record cannot be judged.
    """
    event, exchange = decoder.decode_one(record)
    return Decoded(event, exchange, first_prompt(guard, exchange).text)


@dataclass(frozen=True, slots=True)
class Rejudged:
    """A new judgement of a record, with its completions."""

    completions: tuple[Completion, ...]
    spans: tuple[tuple[CompletionSpan, ...], ...]
    verdict: Verdict

    def disagreements(self, verdict: Verdict) -> Iterator[tuple[str, str | None, str | None]]:
        """The questions with different labels: the name, the published label and the new one."""
        before, after = verdict.readings(), self.verdict.readings()
        for name in before | after:
            then, now = (one[name].label if name in one else None for one in (before, after))
            if then != now:
                yield name, then, now


async def judge_again(judge: Judge, record: Record) -> Rejudged | RecordError:
    """Judge a record again and keep the completions; or why it cannot be judged.

    Raises:
        Fatal: the engine is not available.
    """
    result = (await judge_record(judge, record))[0].result
    if isinstance(result, Skip):
        return NotAnEvent(f"The record is skipped ({result}).")
    if isinstance(result, RecordError):
        return result
    prepared, answer = result
    spans = judge.guard.spans(prepared.exchange, answer.completions)
    return Rejudged(answer.completions, spans, judge.conclude(prepared, answer))
