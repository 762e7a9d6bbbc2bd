"""Kafka records, without the types of a client library."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple

Headers = tuple[tuple[str, bytes], ...]

_current: ContextVar["Record | None"] = ContextVar("record", default=None)


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


class CommittedOffset(NamedTuple):
    """The committed offset of a consumer group in a partition.

    Attributes:
        offset: the next one to read.
        metadata: the string that Kafka stores with it.
    """

    offset: int
    metadata: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A consumed record.

    Attributes:
        epoch: the assignment under which it was received; outcomes of an older one are discarded.
        timestamp_ms: Kafka's timestamp, Unix milliseconds.
        received_at: Unix seconds.
        unreadable: why the client could not decode it completely, in a sentence; None if it could.
    """

    partition: Partition
    epoch: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    received_at: float
    unreadable: str | None = None

    @property
    def size_bytes(self) -> int:
        """The approximate size in memory."""
        return (
            len(self.value or b"")
            + len(self.key or b"")
            + sum(len(name) + len(value or b"") for name, value in self.headers)
        )

    def __str__(self) -> str:
        return f"{self.partition}@{self.offset}"


def record_of_line(origin: str, offset: int, value: bytes, now: float) -> Record:
    """A record made of a line of a file or of stdin; `now` is Unix seconds."""
    return Record(Partition(origin, 0), 0, offset, None, value, (), int(now * 1000), now)


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """A record to be produced.

    Attributes:
        partition: None lets the key choose the partition.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int | None = None

    @property
    def size_bytes(self) -> int:
        """Its size on the wire, rounded up: what a topic's `max.message.bytes` counts."""
        fields = len(self.key or b"") + len(self.value or b"")
        headers = sum(len(name.encode()) + len(value or b"") + 10 for name, value in self.headers)
        # 61 bytes of batch header and up to 40 of record framing
        return fields + headers + 128


class working_on:  # noqa: N801 - used as a function
    """A context in which log lines of the current task name this record."""

    __slots__ = ("_before", "_record")

    def __init__(self, record: Record) -> None:
        self._record = record

    def __enter__(self) -> None:
        self._before = _current.set(self._record)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._before)


def current_record() -> Record | None:
    """The record that the current task works on."""
    return _current.get()
