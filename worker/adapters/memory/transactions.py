"""Transactional producers."""

import asyncio
from collections.abc import Mapping, Sequence

from typing_extensions import override

from worker.adapters.memory.bus import AssumedLimits, MemoryBus
from worker.domain.errors import Retriable
from worker.domain.ports import Transactions, Transactor
from worker.domain.records import CommittedOffset, OutgoingRecord, Partition


class MemoryTransactor(Transactor):
    """A transactional producer on a `MemoryBus`."""

    def __init__(self, transactions: "MemoryTransactions", transactional_id: str) -> None:
        self._transactions = transactions
        self._id = transactional_id
        self._epoch = transactions.bus.fences[transactional_id]
        self._limits = transactions.limits.copy()

    @override
    async def commit(
        self, records: Sequence[OutgoingRecord], offsets: Mapping[Partition, CommittedOffset]
    ) -> None:
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

    @override
    async def close(self) -> None:
        """Nothing to disconnect from."""


class MemoryTransactions(Transactions):
    """Opens transactors on a `MemoryBus`.

    `fail_next` commits do nothing and fail; `doubt_next` commits succeed and report a failure;
    opening takes `slowness` turns of the event loop. `opened` holds the ids in the order of time.
    """

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.limits = AssumedLimits(bus)
        self.fail_next = 0
        self.doubt_next = 0
        self.slowness = 1
        self.opened: list[str] = []

    @override
    async def start(self) -> None:
        """Nothing to look at."""

    @override
    async def open(self, transactional_id: str) -> MemoryTransactor:
        for _ in range(self.slowness):
            await asyncio.sleep(0)
        self.bus.fences[transactional_id] += 1
        self.opened.append(transactional_id)
        return MemoryTransactor(self, transactional_id)

    @override
    def max_bytes(self, topic: str) -> int:
        return self.limits.max_bytes(topic)

    @override
    async def too_large(self, topic: str, limit: int) -> None:
        await asyncio.sleep(0)
        if self.max_bytes(topic) == limit:
            self.limits.assume(topic, limit // 2)
