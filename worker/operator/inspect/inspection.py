"""What became of a record, put together again: for people who ask where a verdict came from.

A record is found by where it stands or by its event's id. Its outcomes are found in the output
topics by what they say of their source, so there can be several: a verdict that was repeated, one
of another guard, the dead letter before a verdict.
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
from worker.domain.events import Event, Exchange
from worker.domain.guard import CompletionSpan, Guard, first_prompt
from worker.domain.patterns import Pattern
from worker.domain.records import Partition, Record
from worker.domain.verdict_records import read_verdict
from worker.domain.verdicts import Verdict, rfc3339
from worker.flow.judge import Judge
from worker.operator.redrive.redriving import Letter, read_letter, read_note

_POSITION = Pattern(r"([a-zA-Z0-9._-]{1,249})/(\d{1,9})[@/](\d{1,18})")


class Place(NamedTuple):
    """Where a record stands or stood."""

    partition: Partition
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}@{self.offset}"


def read_place(text: str) -> Place | None:
    """The place that `topic/partition@offset` names; None for what has another form."""
    if (match := _POSITION.fullmatch(text)) is None:
        return None
    topic, partition, offset = match.groups()
    return Place(Partition(topic, int(partition)), int(offset))


@dataclass(frozen=True, slots=True)
class Published:
    """A verdict as it lies in its topic.

    Attributes:
        document: the value as it was published, with what this version does not know of.
        repeats: where the same verdict was published first.
    """

    record: Record
    verdict: Verdict
    document: dict[str, Any]
    repeats: Record | None = None

    @property
    def source(self) -> Place:
        """Where the record stood that was judged."""
        source = self.verdict.source
        return Place(Partition(source.topic, source.partition), source.offset)


def read_published(record: Record) -> Published | None:
    """The verdict in a record of the verdict topic; None for anything else."""
    try:
        document = orjson.loads(record.value or b"")
        return Published(record, read_verdict(document), document)
    except (orjson.JSONDecodeError, ValidationError):
        return None


@dataclass(frozen=True, slots=True)
class Buried:
    """A dead letter, and whether it was sent back since."""

    letter: Letter
    sent_back: bool

    @property
    def record(self) -> Record:
        """The letter as it lies in its topic."""
        return self.letter.record


Outcome = Published | Buried


class Search:
    """Picks the outcomes that are meant out of the records of the output topics."""

    def __init__(self, meant: Place | str) -> None:
        self._meant = meant
        self._verdicts: defaultdict[Place, list[Published]] = defaultdict(list)
        self._letters: defaultdict[Place, list[Letter]] = defaultdict(list)
        self._sent_back: set[Place] = set()

    def see_verdict(self, record: Record) -> None:
        """Look at a record of the verdict topic."""
        if isinstance(self._meant, str):
            wanted = self._meant.encode("utf-8", "replace")
            # most records are others', and their values need not be read
            if ("guardstream.event_id", wanted) not in record.headers:
                return
        published = read_published(record)
        if published is not None and self._means(published.source, published.verdict.event_id):
            self._verdicts[published.source].append(published)

    def see_dead_letter(self, record: Record) -> None:
        """Look at a record of the dead-letter topic."""
        if (offsets := read_note(record)) is not None:
            self._sent_back |= {Place(record.partition, offset) for offset in offsets}
        elif (letter := read_letter(record)) is not None:
            source = Place(Partition(letter.topic, letter.partition), letter.offset)
            if self._meant == source or (
                isinstance(self._meant, str) and self._meant in _names(letter)
            ):
                self._letters[source].append(letter)

    @property
    def sources(self) -> list[Place]:
        """Where the records stood of which something was found, the first outcome first."""
        return sorted(self._verdicts.keys() | self._letters.keys(), key=self._first_at)

    def outcomes(self, source: Place) -> tuple[Outcome, ...]:
        """What became of the record that stood there, in the order of time."""
        buried = (
            Buried(letter, Place(letter.record.partition, letter.record.offset) in self._sent_back)
            for letter in self._letters.get(source, ())
        )
        found: list[Outcome] = [*self._verdicts.get(source, ()), *buried]
        found.sort(key=_when)
        first: dict[str, Record] = {}
        for at, outcome in enumerate(found):
            if isinstance(outcome, Published):
                name = outcome.verdict.verdict_id
                if name in first:
                    found[at] = replace(outcome, repeats=first[name])
                first.setdefault(name, outcome.record)
        return tuple(found)

    def _means(self, source: Place, event_id: str) -> bool:
        return self._meant in {source, event_id}

    def _first_at(self, source: Place) -> tuple[int, Partition, int]:
        return _when(self.outcomes(source)[0])


def _when(outcome: Outcome) -> tuple[int, Partition, int]:
    record = outcome.record
    return record.timestamp_ms, record.partition, record.offset


def _names(letter: Letter) -> Collection[str]:
    """What the event of a dead letter can be called: its own id, as far as it can be read."""
    value, headers = letter.record.value or b"", dict(letter.headers)
    # with or without a frame: JSON never begins with byte 0
    try:
        value = unframe(value, "confluent" if value.startswith(b"\0") else "none")
        own = decode_event(value, headers).id
    except RecordError:
        own = _bare_id(value)
    return {own or f"{letter.topic}-{letter.partition}-{letter.offset}"}


def _bare_id(value: bytes) -> str | None:
    """The id of what is no event otherwise: people look for just these."""
    try:
        document = parse_json(value)
    except NotAnEvent:
        return None
    found = None
    while isinstance(document, dict):
        # a CloudEvent's own names the event only if its data has none
        found = identifier(document.get("id")) or found
        document = document.get("data") if "specversion" in document else None
    return found


@dataclass(frozen=True, slots=True)
class Finding:
    """A record and what became of it.

    Attributes:
        record: None where it cannot be had any more; `missing` says why, in a sentence.
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
        """Whether the group has moved past the record."""
        return self.committed is not None and self.place.offset < self.committed

    @property
    def original(self) -> Record | None:
        """The record, or what a dead letter kept of it whole."""
        if self.record is not None:
            return self.record
        for outcome in self.outcomes:
            if isinstance(outcome, Buried) and outcome.letter.whole:
                letter = outcome.letter
                return replace(
                    letter.record,
                    partition=self.place.partition,
                    offset=self.place.offset,
                    headers=letter.headers,
                )
        return None

    @property
    def verdicts(self) -> list[Published]:
        """The verdicts among the outcomes, repeats included."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, Published)]

    @property
    def latest(self) -> Published | None:
        """The last verdict."""
        return self.verdicts[-1] if self.verdicts else None

    def is_of_this_record(self, published: Published) -> bool:
        """False where the topic was made anew: the verdict is on what stood there before."""
        if self.record is None:
            return True
        stamped = rfc3339(max(self.record.timestamp_ms, 0) / 1000)
        return published.verdict.source.timestamp == stamped


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the worker makes of a record before the engine is asked."""

    event: Event
    exchange: Exchange
    prompt: str


def decode(record: Record, guard: Guard, decoder: EventDecoder) -> Decoded:
    """The event of a record, and the exact first prompt for it.

    Raises:
        RecordError: there is none.
    """
    event, exchange = decoder.decode(record)
    return Decoded(event, exchange, first_prompt(guard, exchange).text)


@dataclass(frozen=True, slots=True)
class Again:
    """What the engine says of a record when it is asked anew."""

    completions: tuple[Completion, ...]
    spans: tuple[tuple[CompletionSpan, ...], ...]
    verdict: Verdict

    def disagreements(self, verdict: Verdict) -> Iterator[tuple[str, str | None, str | None]]:
        """The questions that a published verdict answers otherwise: its label, and that of now."""
        before, after = verdict.readings(), self.verdict.readings()
        for name in before | after:
            then, now = (one[name].label if name in one else None for one in (before, after))
            if then != now:
                yield name, then, now


async def ask_again(judge: Judge, record: Record) -> Again | RecordError:
    """Judge a record once more and keep the completions; or why it cannot be judged.

    Raises:
        Fatal: no record can.
    """
    prepared = (await judge.prepare([record]))[0]
    if isinstance(prepared, RecordError):
        return prepared
    try:
        answer = await judge.ask(prepared)
    except RecordError as error:
        return error
    spans = judge.guard.spans(prepared.exchange, answer.completions)
    return Again(answer.completions, spans, judge.conclude(prepared, answer))
