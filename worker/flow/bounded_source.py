"""A source that ends: nothing at or after the given offsets is received."""

from collections.abc import Collection, Mapping, Sequence

from worker.domain.ports import AssignmentListener, Source
from worker.domain.records import CommittedOffset, Partition, Record


class BoundedSource:
    """Another source, up to these offsets; partitions without one are received without a limit.

    Args:
        source: the other.
        ends: the first offset of each partition that is not received.
    """

    def __init__(self, source: Source, ends: Mapping[Partition, int]) -> None:
        self._source = source
        self._ends = ends

    async def start(self, listener: AssignmentListener) -> None:
        """Join the group."""
        await self._source.start(listener)

    async def receive(self) -> Sequence[tuple[Partition, Record]]:
        """Records that arrived and are within the limits."""
        arrived = await self._source.receive()
        ends = self._ends
        beyond = {p for p, record in arrived if p in ends and record.offset >= ends[p]}
        if not beyond:
            return arrived
        # what is beyond its end came together with what is not
        self._source.pause(beyond)
        return [(p, r) for p, r in arrived if p not in ends or r.offset < ends[p]]

    async def locate(self, partition: Partition) -> CommittedOffset:
        """The committed offset of the group."""
        return await self._source.locate(partition)

    def seek(self, partition: Partition, offset: int) -> None:
        """Receive from this offset on."""
        self._source.seek(partition, offset)

    def pause(self, partitions: Collection[Partition]) -> None:
        """Receive nothing from these until they are resumed."""
        self._source.pause(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        """Receive from these again."""
        self._source.resume(partitions)

    async def position(self, partition: Partition) -> int | None:
        """The next offset to be received, at most the end."""
        found = await self._source.position(partition)
        return None if found is None else min(found, self._ends.get(partition, found))

    async def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The end offsets of these, at most those that were given."""
        found = await self._source.ends(partitions)
        return {p: min(end, self._ends.get(p, end)) for p, end in found.items()}

    def unstable(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Records after the start of an open transaction."""
        return self._source.unstable(partitions)

    async def commit(self, offsets: Mapping[Partition, CommittedOffset]) -> None:
        """Commit the next offsets to read."""
        await self._source.commit(offsets)

    def trouble(self) -> str | None:
        """A failure that has lasted for some time."""
        return self._source.trouble()

    async def stop(self) -> None:
        """Leave the group."""
        await self._source.stop()
