"""Dead letters go back to where they came from: which ones, as what, and each only once.

A letter that is sent back leaves a note in the dead-letter topic, in the letter's own partition and
in the transaction that sends it, so that the note is there exactly when the record is. Offsets of a
consumer group could not tell this: filters pick letters from the middle, and Kafka forgets an idle
group's offsets after a week, while a note lives as long as its letter.

Nothing goes in circles: the record that is sent back says how often it was delivered, the worker
counts on from there, and a letter that was delivered often enough stays.
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
from worker.domain.records import Headers, OutgoingRecord, Partition, Record

REDRIVEN_OFFSETS = "guardstream.redriven.offsets"

_CUT = frozenset({VALUE_SIZE, VALUE_SHA256, KEY_SHA256, HEADERS_SHA256})
_NOT_SENT_BACK = ("guardstream.", "__dlq.")
_SHOWN_FIRST = 5


@dataclass(frozen=True, slots=True)
class Letter:
    """What a dead letter says.

    Attributes:
        record: the letter as it lies in the dead-letter topic.
        headers: the original record's own.
        deliveries: how often the worker had received the record when it gave up.
        whole: whether value, key and headers are all there.
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
    whole: bool

    @property
    def origin(self) -> str:
        """Where the original record stood."""
        return f"{self.topic}/{self.partition}@{self.offset}"


def read_letter(record: Record) -> Letter | None:
    """The letter in a record of the dead-letter topic; None for anything else."""
    starts = [at for at, (name, _) in enumerate(record.headers) if name == ORIGIN_TOPIC]
    if not starts:
        return None
    # an event may have brought such headers along; the worker's stand last
    said = dict(record.headers[starts[-1] :])
    numbers = [
        read_count(said.get(name)) for name in (ORIGIN_PARTITION, ORIGIN_OFFSET, DELIVERY_COUNT)
    ]
    partition, offset, deliveries = numbers
    topic, stage, error, message = (
        (said.get(name) or b"").decode("utf-8", "replace")
        for name in (ORIGIN_TOPIC, STAGE, ERROR, MESSAGE)
    )
    if not topic or partition is None or offset is None or deliveries is None:
        return None
    return Letter(
        record=record,
        headers=record.headers[: starts[-1]],
        topic=topic,
        partition=partition,
        offset=offset,
        stage=stage,
        error=error,
        message=message,
        deliveries=deliveries,
        whole=_CUT.isdisjoint(said),
    )


def redriven_record(letter: Letter) -> OutgoingRecord:
    """The original record, to be sent again: key, value and headers, and its deliveries so far."""
    own = tuple(
        (name, value)
        for name, value in letter.headers
        if not name.lower().startswith(_NOT_SENT_BACK)
    )
    count = (DELIVERED_BEFORE, str(letter.deliveries).encode())
    return OutgoingRecord(letter.topic, letter.record.key, letter.record.value, (*own, count))


def notes_of(letters: Collection[Letter]) -> list[OutgoingRecord]:
    """The notes that these letters were sent back, one for each of their partitions."""
    offsets: defaultdict[Partition, list[int]] = defaultdict(list)
    for letter in letters:
        offsets[letter.record.partition].append(letter.record.offset)
    return [
        OutgoingRecord(
            where.topic,
            # a key of its own and a value, so that compaction keeps it
            f"{REDRIVEN_OFFSETS}/{theirs[0]}".encode(),
            b"",
            ((REDRIVEN_OFFSETS, ",".join(map(str, theirs)).encode()),),
            where.number,
        )
        for where, theirs in offsets.items()
    ]


def read_note(record: Record) -> frozenset[int] | None:
    """The offsets that a note says were sent back; None for a record that is no note."""
    # a letter carries its event's headers, and always others beside them
    if [name for name, _ in record.headers] != [REDRIVEN_OFFSETS]:
        return None
    ((_, listed),) = record.headers
    offsets = [read_count(offset) for offset in (listed or b"").split(b",")]
    return frozenset(offset for offset in offsets if offset is not None)


class Survey:
    """What must be known before the first letter is sent: a note stands after its letter."""

    def __init__(self) -> None:
        self.redriven: defaultdict[Partition, set[int]] = defaultdict(set)
        self.topics: set[str] = set()

    def add(self, record: Record) -> None:
        """Look at a record of the dead-letter topic."""
        if (offsets := read_note(record)) is not None:
            self.redriven[record.partition] |= offsets
        elif (letter := read_letter(record)) is not None:
            self.topics.add(letter.topic)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant; what is empty or None excludes none.

    Attributes:
        topics: the topics that the original records stood in.
        since_ms: Unix milliseconds, of the letter and not of the original record.
        until_ms: exclusive.
    """

    stages: Collection[str] = ()
    errors: Collection[str] = ()
    topics: Collection[str] = ()
    keys: Collection[bytes] = ()
    since_ms: int | None = None
    until_ms: int | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether the letter is meant."""
        at = letter.record.timestamp_ms
        return (
            (not self.stages or letter.stage in self.stages)
            and (not self.errors or letter.error in self.errors)
            and (not self.topics or letter.topic in self.topics)
            and (not self.keys or letter.record.key in self.keys)
            and (self.since_ms is None or at >= self.since_ms)
            and (self.until_ms is None or at < self.until_ms)
        )


class Left(StrEnum):
    """Why a letter that is meant stays where it is."""

    REDRIVEN = "redriven"
    CUT = "cut"
    DELIVERED_ENOUGH = "delivered_enough"
    NO_TOPIC = "no_topic"
    TOO_LARGE = "too_large"
    BEYOND_LIMIT = "beyond_limit"


@dataclass(slots=True)
class Plan:
    """Decides letter by letter, in the order of reading, and keeps count.

    Attributes:
        redriven: what was sent back before, by the notes.
        max_bytes: the largest record of each original topic that exists.
        taken: by original topic, stage and error, the letters to be sent.
        left: why the others that are meant stay; of the topic, where it matters.
        cut: where the letters are that cannot be sent, since parts of them are gone.
        foreign: records of the dead-letter topic that are no dead letters.
    """

    selection: Selection
    redriven: Mapping[Partition, Collection[int]]
    max_bytes: Mapping[str, int]
    max_deliveries: int
    limit: int | None = None
    taken: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    first: list[Letter] = field(default_factory=list)
    left: Counter[tuple[Left, str]] = field(default_factory=Counter)
    cut: list[str] = field(default_factory=list)
    foreign: int = 0

    def consider(self, record: Record) -> Letter | None:
        """The letter to be sent back, if this record is one."""
        letter = read_letter(record)
        if letter is None:
            self.foreign += read_note(record) is None
            return None
        if not self.selection.takes(letter):
            return None
        if (reason := self._stays(letter)) is not None:
            self.left[reason, letter.topic] += 1
            if reason is Left.CUT:
                self.cut.append(str(record))
            return None
        self.taken[letter.topic, letter.stage, letter.error] += 1
        if len(self.first) < _SHOWN_FIRST:
            self.first.append(letter)
        return letter

    def left_for(self, reason: Left) -> dict[str, int]:
        """By original topic, how many letters stay for this reason."""
        return {topic: count for (why, topic), count in self.left.items() if why is reason}

    @property
    def failed(self) -> bool:
        """Whether letters stay that were asked for and that no setting of ours holds back."""
        return any(reason in {Left.NO_TOPIC, Left.TOO_LARGE} for reason, _ in self.left)

    def _stays(self, letter: Letter) -> Left | None:
        record = letter.record
        limit = self.max_bytes.get(letter.topic)
        reasons = {
            Left.REDRIVEN: record.offset in self.redriven.get(record.partition, ()),
            Left.CUT: not letter.whole,
            Left.DELIVERED_ENOUGH: letter.deliveries >= self.max_deliveries,
            Left.NO_TOPIC: limit is None,
            Left.TOO_LARGE: limit is not None and redriven_record(letter).size_bytes > limit,
            Left.BEYOND_LIMIT: self.limit is not None and self.taken.total() >= self.limit,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)
