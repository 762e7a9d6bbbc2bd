"""Which dead letters are sent back, in which form, and each only once.

For each dead letter that is sent back, a note is written to its partition of the dead-letter topic,
in the same transaction, so that the note exists exactly if the record does. Committed offsets of a
consumer group would not do: filters select single dead letters, and Kafka deletes the offsets of an
idle group after a week, while a note is kept as long as its dead letter.

There are no endless loops: a header of the redriven record is the number of its deliveries, the
worker continues this count, and a dead letter with too many deliveries is not sent back.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from worker.domain.dead_letters import (
    DELIVERED_BEFORE,
    DELIVERY_COUNT,
    ERROR,
    HEADERS_SHA256,
    KEY_SHA256,
    MESSAGE,
    ORIGIN_OFFSET,
    ORIGIN_PARTITION,
    ORIGIN_TOPIC,
    STAGE,
    VALUE_SHA256,
    VALUE_SIZE,
    read_count,
)
from worker.domain.exchange_numbers import EXCHANGES
from worker.domain.records import Headers, OutgoingRecord, Partition, Record

REDRIVEN_OFFSETS = "guardstream.redriven.offsets"

_TRUNCATION_HEADERS = frozenset({VALUE_SIZE, VALUE_SHA256, KEY_SHA256, HEADERS_SHA256})
_NOT_SENT_BACK = ("guardstream.", "__dlq.")
_SHOWN_FIRST = 5


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A parsed dead letter.

    Attributes:
        record: the record of the dead-letter topic.
        headers: those of the original record.
        deliveries: of the original record to a worker.
        complete: whether value, key and headers were not truncated.
        exchanges: the header that names the exchanges of the record that could not be judged; None
            where all of them were not.
    """

    record: Record
    headers: Headers
    topic: str
    partition: int
    offset: int
    stage: str
    error: str
    message: str
    deliveries: int
    complete: bool
    exchanges: bytes | None = None

    @property
    def origin(self) -> str:
        """The position of the original record."""
        return f"{self.topic}/{self.partition}@{self.offset}"


def read_dead_letter(record: Record) -> DeadLetter | None:
    """The dead letter in a record of the dead-letter topic; None for any other record."""
    starts = [at for at, (name, _) in enumerate(record.headers) if name == ORIGIN_TOPIC]
    if not starts:
        return None
    # the event can have such headers too: those of the worker are the last ones
    added = dict(record.headers[starts[-1] :])
    numbers = [
        read_count(added.get(name)) for name in (ORIGIN_PARTITION, ORIGIN_OFFSET, DELIVERY_COUNT)
    ]
    partition, offset, deliveries = numbers
    topic, stage, error, message = (
        (added.get(name) or b"").decode("utf-8", "replace")
        for name in (ORIGIN_TOPIC, STAGE, ERROR, MESSAGE)
    )
    if not topic or partition is None or offset is None or deliveries is None:
        return None
    return DeadLetter(
        record=record,
        headers=record.headers[: starts[-1]],
        topic=topic,
        partition=partition,
        offset=offset,
        stage=stage,
        error=error,
        message=message,
        deliveries=deliveries,
        complete=_TRUNCATION_HEADERS.isdisjoint(added),
        # of a record that was redriven before, and failed as a whole, those that it was sent for
        exchanges=added.get(EXCHANGES, dict(record.headers).get(EXCHANGES)),
    )


def redriven_record(dead_letter: DeadLetter) -> OutgoingRecord:
    """The record to send: key, value and headers of the original, and its deliveries so far."""
    own = tuple(
        (name, value)
        for name, value in dead_letter.headers
        if not name.lower().startswith(_NOT_SENT_BACK)
    )
    added: Headers = ((DELIVERED_BEFORE, str(dead_letter.deliveries).encode()),)
    if dead_letter.exchanges is not None:
        # the others have their verdicts
        added = (*added, (EXCHANGES, dead_letter.exchanges))
    return OutgoingRecord(
        dead_letter.topic, dead_letter.record.key, dead_letter.record.value, (*own, *added)
    )


def notes_of(dead_letters: Collection[DeadLetter]) -> list[OutgoingRecord]:
    """The notes for these dead letters, one for each of their partitions."""
    offsets: defaultdict[Partition, list[int]] = defaultdict(list)
    for dead_letter in dead_letters:
        offsets[dead_letter.record.partition].append(dead_letter.record.offset)
    return [
        OutgoingRecord(
            where.topic,
            # a unique key and a value, so that compaction keeps it
            f"{REDRIVEN_OFFSETS}/{of_partition[0]}".encode(),
            b"",
            ((REDRIVEN_OFFSETS, ",".join(map(str, of_partition)).encode()),),
            where.number,
        )
        for where, of_partition in offsets.items()
    ]


def read_note(record: Record) -> frozenset[int] | None:
    """The offsets in a note; None for a record that is not a note."""
    # a dead letter always has other headers too
    if [name for name, _ in record.headers] != [REDRIVEN_OFFSETS]:
        return None
    ((_, listed),) = record.headers
    offsets = [read_count(offset) for offset in (listed or b"").split(b",")]
    return frozenset(offset for offset in offsets if offset is not None)


class Survey:
    """Collects all notes and topics before the first send: a note comes after its dead letter."""

    def __init__(self) -> None:
        self.redriven: defaultdict[Partition, set[int]] = defaultdict(set)
        self.topics: set[str] = set()

    def add(self, record: Record) -> None:
        """Add a record of the dead-letter topic."""
        if (offsets := read_note(record)) is not None:
            self.redriven[record.partition] |= offsets
        elif (dead_letter := read_dead_letter(record)) is not None:
            self.topics.add(dead_letter.topic)


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters of dead letters; an empty filter, or None, selects all.

    Attributes:
        topics: of the original records.
        since_ms: Unix milliseconds, of the dead letter and not of the original record.
        until_ms: exclusive.
    """

    stages: Collection[str] = ()
    errors: Collection[str] = ()
    topics: Collection[str] = ()
    keys: Collection[bytes] = ()
    since_ms: int | None = None
    until_ms: int | None = None

    def takes(self, dead_letter: DeadLetter) -> bool:
        """Whether the dead letter is selected."""
        at = dead_letter.record.timestamp_ms
        return (
            (not self.stages or dead_letter.stage in self.stages)
            and (not self.errors or dead_letter.error in self.errors)
            and (not self.topics or dead_letter.topic in self.topics)
            and (not self.keys or dead_letter.record.key in self.keys)
            and (self.since_ms is None or at >= self.since_ms)
            and (self.until_ms is None or at < self.until_ms)
        )


class SkipReason(StrEnum):
    """Why a selected dead letter is not sent back."""

    REDRIVEN = "redriven"
    TRUNCATED = "cut"
    DELIVERED_ENOUGH = "delivered_enough"
    NO_TOPIC = "no_topic"
    TOO_LARGE = "too_large"
    BEYOND_LIMIT = "beyond_limit"


@dataclass(slots=True)
class Plan:
    """Decides about dead letters one by one, in the order of reading, and counts them.

    Attributes:
        redriven: offsets that were sent back before, from the notes.
        max_bytes: the largest record of each original topic that exists.
        taken: dead letters to send, by original topic, stage and error.
        skipped: selected dead letters that are not sent, by reason and original topic.
        truncated: positions of truncated dead letters, which cannot be sent.
        other_records: records of the topic that are neither dead letters nor notes.
    """

    selection: Selection
    redriven: Mapping[Partition, Collection[int]]
    max_bytes: Mapping[str, int]
    max_deliveries: int
    limit: int | None = None
    taken: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    first: list[DeadLetter] = field(default_factory=list)
    skipped: Counter[tuple[SkipReason, str]] = field(default_factory=Counter)
    truncated: list[str] = field(default_factory=list)
    other_records: int = 0

    def consider(self, record: Record) -> DeadLetter | None:
        """The dead letter in this record, if it should be sent back."""
        dead_letter = read_dead_letter(record)
        if dead_letter is None:
            self.other_records += read_note(record) is None
            return None
        if not self.selection.takes(dead_letter):
            return None
        if (reason := self._skip_reason(dead_letter)) is not None:
            self.skipped[reason, dead_letter.topic] += 1
            if reason is SkipReason.TRUNCATED:
                self.truncated.append(str(record))
            return None
        self.taken[dead_letter.topic, dead_letter.stage, dead_letter.error] += 1
        if len(self.first) < _SHOWN_FIRST:
            self.first.append(dead_letter)
        return dead_letter

    def skipped_for(self, reason: SkipReason) -> dict[str, int]:
        """The number of dead letters skipped for this reason, by original topic."""
        return {topic: count for (why, topic), count in self.skipped.items() if why is reason}

    @property
    def failed(self) -> bool:
        """Whether selected dead letters could not be sent for lack of a topic or of its limit."""
        return any(
            reason in {SkipReason.NO_TOPIC, SkipReason.TOO_LARGE} for reason, _ in self.skipped
        )

    def _skip_reason(self, dead_letter: DeadLetter) -> SkipReason | None:
        record = dead_letter.record
        limit = self.max_bytes.get(dead_letter.topic)
        reasons = {
            SkipReason.REDRIVEN: record.offset in self.redriven.get(record.partition, ()),
            SkipReason.TRUNCATED: not dead_letter.complete,
            SkipReason.DELIVERED_ENOUGH: dead_letter.deliveries >= self.max_deliveries,
            SkipReason.NO_TOPIC: limit is None,
            SkipReason.TOO_LARGE: limit is not None
            and redriven_record(dead_letter).size_bytes > limit,
            SkipReason.BEYOND_LIMIT: self.limit is not None and self.taken.total() >= self.limit,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)
