"""One member of the group."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from typing_extensions import override

from worker.adapters.memory.bus import MemoryBus
from worker.domain.errors import Retriable
from worker.domain.ports import AssignmentListener, Source
from worker.domain.records import CommittedOffset, Partition, Record


class MemorySource(Source):
    """Receives from a `MemoryBus`; one that is `severed` commits nothing."""

    def __init__(self, bus: MemoryBus, topics: Sequence[str], max_records: int = 500) -> None:
        self._bus = bus
        self.topics = topics
        self.max_records = max_records
        self._listener: AssignmentListener | None = None
        self._positions: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self.severed = False

    @override
    async def start(self, listener: AssignmentListener) -> None:
        """Hold every partition of the topics."""
        self._listener = listener
        held = [Partition(t, n) for t in self.topics for n in range(self._bus.partitions)]
        await self.assign(held)

    async def assign(self, partitions: Collection[Partition]) -> None:
        """Assign partitions to it, as in a rebalance."""
        for partition in partitions:
            self._positions[partition] = 0
            self._paused.add(partition)
        if self._listener is not None:
            await self._listener.assigned(partitions)

    async def revoke(self, partitions: Collection[Partition], *, lost: bool = False) -> None:
        """Take partitions away from it, as in a rebalance or by an eviction."""
        held = [p for p in partitions if p in self._positions]
        self._paused.update(held)
        if self._listener is not None:
            await (self._listener.lost(held) if lost else self._listener.revoked(held))
        for partition in held:
            del self._positions[partition]

    @override
    async def locate(self, partition: Partition) -> CommittedOffset:
        await asyncio.sleep(0)
        if partition not in self._positions:
            raise Retriable("The partition has moved on.")
        return CommittedOffset(
            self._bus.committed.get(partition, 0), self._bus.metadata.get(partition, "")
        )

    @override
    def seek(self, partition: Partition, offset: int) -> None:
        if partition not in self._positions:
            raise Retriable("The partition has moved on.")
        self._positions[partition] = offset

    @override
    async def receive(self) -> Sequence[tuple[Partition, Record]]:
        self._bus.arrived.clear()
        if not any(self._waiting(partition) for partition in self._positions):
            try:
                async with asyncio.timeout(0.05):
                    await self._bus.arrived.wait()
            except TimeoutError:
                return []
        # a source that never waits would keep other tasks from running
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

    @override
    def pause(self, partitions: Collection[Partition]) -> None:
        self._paused.update(partitions)

    @override
    def resume(self, partitions: Collection[Partition]) -> None:
        self._paused.difference_update(partitions)
        self._bus.arrived.set()

    @override
    async def position(self, partition: Partition) -> int | None:
        return self._positions.get(partition)

    @override
    async def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        return {partition: len(self._bus.records[partition]) for partition in partitions}

    @override
    def unstable(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """None: there are no transactions on the input."""
        return dict.fromkeys(partitions, 0)

    @override
    async def commit(self, offsets: Mapping[Partition, CommittedOffset]) -> None:
        if self.severed or any(partition not in self._positions for partition in offsets):
            raise Retriable("The partitions have moved on; nothing was committed.")
        self._bus.commit(offsets)

    @override
    def trouble(self) -> str | None:
        """Nothing fails here."""

    @override
    async def stop(self) -> None:
        if self._positions:
            await self.revoke(list(self._positions))
