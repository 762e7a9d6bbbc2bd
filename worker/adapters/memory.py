"""A bus in memory: Kafka's semantics for one group member, without Kafka.

For tests of the core, and the yardstick for the contract that the Kafka adapter must keep.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from zlib import crc32

from worker.domain.errors import NotWritten, Retriable
from worker.domain.ports import AssignmentListener
from worker.domain.records import CommittedOffset, Headers, OutgoingRecord, Partition, Record


class MemoryBus:
    """Topics of lists; every topic has `partitions` partitions and any topic exists.

    Attributes:
        max_bytes: what every topic says it takes.
        takes: the sizes that topics really take, where that is less.
        refuses: says of a record why its topic does not take it, or None.
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


class MemorySource:
    """Implements the port `Source` on a `MemoryBus`; one that is `severed` commits nothing."""

    def __init__(self, bus: MemoryBus, topics: Sequence[str], max_records: int = 500) -> None:
        self._bus = bus
        self.topics = topics
        self.max_records = max_records
        self._listener: AssignmentListener | None = None
        self._positions: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self.severed = False

    async def start(self, listener: AssignmentListener) -> None:
        """Hold every partition of the topics."""
        self._listener = listener
        held = [Partition(t, n) for t in self.topics for n in range(self._bus.partitions)]
        await self.assign(held)

    async def assign(self, partitions: Collection[Partition]) -> None:
        """Be given partitions, as in a rebalance."""
        for partition in partitions:
            self._positions[partition] = 0
            self._paused.add(partition)
        if self._listener is not None:
            await self._listener.assigned(partitions)

    async def revoke(self, partitions: Collection[Partition], *, lost: bool = False) -> None:
        """Have partitions taken away, as in a rebalance or by an eviction."""
        held = [p for p in partitions if p in self._positions]
        self._paused.update(held)
        if self._listener is not None:
            await (self._listener.lost(held) if lost else self._listener.revoked(held))
        for partition in held:
            del self._positions[partition]

    async def locate(self, partition: Partition) -> CommittedOffset:
        """See `Source`."""
        await asyncio.sleep(0)
        if partition not in self._positions:
            raise Retriable("The partition has moved on.")
        return CommittedOffset(
            self._bus.committed.get(partition, 0), self._bus.metadata.get(partition, "")
        )

    def seek(self, partition: Partition, offset: int) -> None:
        """See `Source`."""
        if partition not in self._positions:
            raise Retriable("The partition has moved on.")
        self._positions[partition] = offset

    async def receive(self) -> Sequence[tuple[Partition, Record]]:
        """What has arrived, or nothing."""
        self._bus.arrived.clear()
        if not any(self._waiting(partition) for partition in self._positions):
            try:
                async with asyncio.timeout(0.05):
                    await self._bus.arrived.wait()
            except TimeoutError:
                return []
        # a source that never waits would keep everybody else from running
        await asyncio.sleep(0)
        arrived: list[tuple[Partition, Record]] = []
        for partition in self._positions:
            new = self._waiting(partition)[: self.max_records - len(arrived)]
            arrived += [(partition, record) for record in new]
            self._positions[partition] += len(new)
        return arrived

    def _waiting(self, partition: Partition) -> list[Record]:
        if partition in self._paused:
            return []
        return self._bus.records[partition][self._positions[partition] :]

    def pause(self, partitions: Collection[Partition]) -> None:
        """See `Source`."""
        self._paused.update(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        """See `Source`."""
        self._paused.difference_update(partitions)
        self._bus.arrived.set()

    async def position(self, partition: Partition) -> int | None:
        """See `Source`."""
        return self._positions.get(partition)

    async def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """See `Source`."""
        return {partition: len(self._bus.records[partition]) for partition in partitions}

    def unstable(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """None: there are no transactions on the input."""
        return dict.fromkeys(partitions, 0)

    async def commit(self, offsets: Mapping[Partition, CommittedOffset]) -> None:
        """See `Source`."""
        if self.severed or any(partition not in self._positions for partition in offsets):
            raise Retriable("The partitions have moved on; nothing was committed.")
        self._bus.commit(offsets)

    def trouble(self) -> str | None:
        """Nothing fails here."""

    async def stop(self) -> None:
        """Leave; what is held is given up."""
        if self._positions:
            await self.revoke(list(self._positions))


class _Limits:
    """What a producer believes that topics take."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._assumed: dict[str, int] = {}

    def max_bytes(self, topic: str) -> int:
        return min(self._bus.max_bytes, self._assumed.get(topic, self._bus.max_bytes))

    def copy(self) -> "_Limits":
        other = _Limits(self._bus)
        other._assumed.update(self._assumed)
        return other

    def assume(self, topic: str, limit: int) -> None:
        self._assumed[topic] = limit


class MemoryPublisher:
    """Implements the port `Publisher` on a `MemoryBus`.

    `fail_next` calls do nothing and fail; `doubt_next` calls succeed and say that they failed.
    """

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._limits = _Limits(bus)
        self.fail_next = 0
        self.doubt_next = 0

    async def start(self) -> None:
        """Nothing to connect to."""

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[NotWritten | None]:
        """See `Publisher`."""
        await asyncio.sleep(0)
        if self.fail_next:
            self.fail_next -= 1
            raise Retriable("The bus refuses.")
        refusals = [self._bus.refusal(record) for record in records]
        # one batch for each topic: a record that is refused takes its neighbours with it
        refused = {refusal.topic: refusal for refusal in refusals if refusal is not None}
        results = [refused.get(record.topic) for record in records]
        self._bus.produce(
            [record for record, failure in zip(records, results, strict=True) if failure is None]
        )
        if self.doubt_next:
            self.doubt_next -= 1
            return [NotWritten(record.topic, "no answer came") for record in records]
        return results

    def max_bytes(self, topic: str) -> int:
        """See `Publisher`."""
        return self._limits.max_bytes(topic)

    async def too_large(self, topic: str, size_bytes: int | None = None) -> None:
        """See `Publisher`."""
        await asyncio.sleep(0)
        if size_bytes is not None and self.max_bytes(topic) >= size_bytes:
            self._limits.assume(topic, size_bytes - 1)

    async def stop(self) -> None:
        """Nothing to disconnect from."""


class MemoryTransactor:
    """Implements the port `Transactor` on a `MemoryBus`."""

    def __init__(self, transactions: "MemoryTransactions", transactional_id: str) -> None:
        self._transactions = transactions
        self._id = transactional_id
        self._epoch = transactions.bus.fences[transactional_id]
        self._limits = transactions.limits.copy()

    async def commit(
        self, records: Sequence[OutgoingRecord], offsets: Mapping[Partition, CommittedOffset]
    ) -> None:
        """See `Transactor`."""
        await asyncio.sleep(0)
        bus = self._transactions.bus
        if bus.fences[self._id] != self._epoch:
            raise Retriable("Another worker took over.")
        if self._transactions.fail_next:
            self._transactions.fail_next -= 1
            raise Retriable("The bus refuses.")
        for record in records:
            if (refusal := bus.refusal(record)) is not None:
                refusal.limit = self._limits.max_bytes(refusal.topic)
                raise refusal
        bus.produce(records)
        bus.commit(offsets)
        if self._transactions.doubt_next:
            self._transactions.doubt_next -= 1
            raise Retriable("No answer came.")

    async def close(self) -> None:
        """Nothing to disconnect from."""


class MemoryTransactions:
    """Implements the port `Transactions` on a `MemoryBus`.

    `fail_next` commits do nothing and fail; `doubt_next` commits succeed and say that they failed;
    opening takes `slowness` turns of the event loop. `opened` holds the ids in the order of time.
    """

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.limits = _Limits(bus)
        self.fail_next = 0
        self.doubt_next = 0
        self.slowness = 1
        self.opened: list[str] = []

    async def start(self) -> None:
        """Nothing to look at."""

    async def open(self, transactional_id: str) -> MemoryTransactor:
        """See `Transactions`."""
        for _ in range(self.slowness):
            await asyncio.sleep(0)
        self.bus.fences[transactional_id] += 1
        self.opened.append(transactional_id)
        return MemoryTransactor(self, transactional_id)

    def max_bytes(self, topic: str) -> int:
        """See `Transactions`."""
        return self.limits.max_bytes(topic)

    async def too_large(self, topic: str, limit: int) -> None:
        """See `Transactions`."""
        await asyncio.sleep(0)
        if self.max_bytes(topic) == limit:
            self.limits.assume(topic, limit // 2)
