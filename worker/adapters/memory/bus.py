"""The topics, the group's offsets, and what topics take."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from zlib import crc32

from worker.domain.errors import NotWritten
from worker.domain.records import CommittedOffset, Headers, OutgoingRecord, Partition, Record


class MemoryBus:
    """Topics of lists; every topic has `partitions` partitions and any topic exists.

    Attributes:
        max_bytes: the largest record of every topic, by its configuration.
        takes: the sizes that topics really take, where that is less.
        refuses: why its topic does not take a record, or None.
    """

    def __init__(self, partitions: int = 1, max_bytes: int = 1 << 20) -> None:
        self.partitions = partitions
        self.max_bytes = max_bytes
        self.takes: dict[str, int] = {}
        self.refuses: Callable[[OutgoingRecord], NotWritten | None] = lambda _: None
        self.records: defaultdict[Partition, list[Record]] = defaultdict(list)
        self.committed: dict[Partition, int] = {}
        self.metadata: dict[Partition, str] = {}
        self.fences: Counter[str] = Counter()
        self.arrived = asyncio.Event()

    def append(
        self,
        topic: str,
        *,
        key: bytes | None = None,
        value: bytes | None,
        headers: Headers = (),
        partition: int = 0,
        now: float = 0.0,
    ) -> Record:
        """Put a record on the bus."""
        where = Partition(topic, partition)
        log = self.records[where]
        record = Record(where, 0, len(log), key, value, headers, int(now * 1000), now)
        log.append(record)
        self.arrived.set()
        return record

    def produce(self, records: Sequence[OutgoingRecord]) -> None:
        """Put records on the bus, each on its partition or on that of its key."""
        for record in records:
            number = record.partition
            if number is None:
                number = crc32(record.key) % self.partitions if record.key else 0
            self.append(
                record.topic,
                key=record.key,
                value=record.value,
                headers=record.headers,
                partition=number,
            )

    def commit(self, offsets: Mapping[Partition, CommittedOffset]) -> None:
        """Keep a group's offsets."""
        for partition, (offset, metadata) in offsets.items():
            self.committed[partition] = offset
            self.metadata[partition] = metadata

    def refusal(self, record: OutgoingRecord) -> NotWritten | None:
        """Why the record's topic does not take it; None if it does."""
        if record.size_bytes > self.takes.get(record.topic, self.max_bytes):
            return NotWritten(record.topic, "MESSAGE_SIZE_TOO_LARGE", "too_large")
        return self.refuses(record)

    def topic(self, topic: str) -> list[Record]:
        """All records of a topic, partition by partition."""
        return [r for where in sorted(self.records) if where.topic == topic
                for r in self.records[where]]  # fmt: skip


class AssumedLimits:
    """The largest records that a producer assumes that topics take."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._assumed: dict[str, int] = {}

    def max_bytes(self, topic: str) -> int:
        """The largest record of a topic."""
        return min(self._bus.max_bytes, self._assumed.get(topic, self._bus.max_bytes))

    def copy(self) -> "AssumedLimits":
        """The limits as they are now."""
        other = AssumedLimits(self._bus)
        other._assumed.update(self._assumed)
        return other

    def assume(self, topic: str, limit: int) -> None:
        """Assume a lower limit."""
        self._assumed[topic] = limit
