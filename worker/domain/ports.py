"""What the core asks of the world: each port has a real and an in-memory adapter."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from worker.domain.errors import NotWritten
from worker.domain.records import CommittedOffset, OutgoingRecord, Partition, Record


class Clock(Protocol):
    """Time and waiting."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class AssignmentListener(Protocol):
    """Told by a source what it holds. The source delivers no record while a call runs."""

    async def assigned(self, partitions: Collection[Partition]) -> None:
        """These partitions are ours from now on: paused, until each is sought and resumed."""
        ...

    async def revoked(self, partitions: Collection[Partition]) -> None:
        """These partitions go to someone else when this call returns: settle them now."""
        ...

    async def lost(self, partitions: Collection[Partition]) -> None:
        """These partitions are someone else's already: nothing of them may be settled."""
        ...


class Source(Protocol):
    """A member of a consumer group."""

    async def start(self, listener: AssignmentListener) -> None:
        """Join the group.

        Raises:
            BusUnavailable: the brokers, the topics or the rights are not there.
        """
        ...

    async def receive(self) -> Sequence[tuple[Partition, Record]]:
        """What has arrived, or nothing after a short wait; must be called without pause.

        The records' epoch is 0: the pipeline stamps them. The position moves past them at the
        return and not before, since nothing else keeps a commit from passing over them.
        """
        ...

    async def locate(self, partition: Partition) -> CommittedOffset:
        """Where the group goes on: the offset that it committed, or where a new group begins.

        Raises:
            Retriable: the offset could not be read; the partition may have moved on.
        """
        ...

    def seek(self, partition: Partition, offset: int) -> None:
        """Receive from this offset on.

        Raises:
            Retriable: the partition has moved on.
        """
        ...

    def pause(self, partitions: Collection[Partition]) -> None:
        """Receive nothing of these until they are resumed."""
        ...

    def resume(self, partitions: Collection[Partition]) -> None:
        """Receive from these again."""
        ...

    async def position(self, partition: Partition) -> int | None:
        """The next offset to be received, past gaps; None when the partition is not held."""
        ...

    async def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Where these end now: for readers of committed records, the last stable offset.

        Raises:
            Retriable: nobody says so at the moment.
        """
        ...

    def unstable(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Records of these behind a producer transaction that is open, as of the last fetch."""
        ...

    async def commit(self, offsets: Mapping[Partition, CommittedOffset]) -> None:
        """Commit the next offsets to read, each with its metadata.

        Raises:
            Retriable: not committed, for a passing reason or because the group has moved on.
        """
        ...

    def trouble(self) -> str | None:
        """What has kept failing for some time, if anything has: where, and why."""
        ...

    async def stop(self) -> None:
        """Leave the group, within a bounded time."""
        ...


class Publisher(Protocol):
    """Produces durably; calls that run at the same time do not affect one another."""

    async def start(self) -> None:
        """Connect.

        Raises:
            BusUnavailable: the brokers or the topics are not there.
        """
        ...

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[NotWritten | None]:
        """Produce these, within a bounded time; for each in order, why it was not acknowledged.

        None stands for a record that all in-sync replicas acknowledged. A record that shares a
        call with others can fail because of one of them: only alone is its failure its own.

        Raises:
            Retriable: nothing could be tried.
        """
        ...

    def max_bytes(self, topic: str) -> int:
        """The largest record the topic takes, as far as is known."""
        ...

    async def too_large(self, topic: str, size_bytes: int | None = None) -> None:
        """Read the limit of a topic again, because it refused something as too large.

        `size_bytes` is the size of a record that was refused alone: where the limit as read allows
        it, a lower one is assumed. Without it a batch was refused, and batches become smaller.
        """
        ...

    async def stop(self) -> None:
        """Disconnect, within a bounded time."""
        ...


class Transactor(Protocol):
    """The only producer that may write in the name of its transactional id."""

    async def commit(
        self, records: Sequence[OutgoingRecord], offsets: Mapping[Partition, CommittedOffset]
    ) -> None:
        """Records and offsets in one transaction: all of it or nothing.

        Raises:
            NotWritten: a topic did not take a record, so nothing was committed.
            Retriable: what became of it is unknown.

        After either, close this transactor and open another.
        """
        ...

    async def close(self) -> None:
        """Disconnect, within a bounded time; an open transaction is left to be aborted."""
        ...


class Transactions(Protocol):
    """Opens transactors for one consumer group."""

    async def start(self) -> None:
        """Look at the topics.

        Raises:
            BusUnavailable: the brokers or the topics are not there.
        """
        ...

    async def open(self, transactional_id: str) -> Transactor:
        """Fence whoever had this id: its open transaction is finished when this returns.

        Raises:
            Retriable: the brokers do not let us, for now.
            BusUnavailable: they never will.
        """
        ...

    def max_bytes(self, topic: str) -> int:
        """The largest record the topic takes, as far as is known."""
        ...

    async def too_large(self, topic: str, limit: int) -> None:
        """Read the limit of a topic again, because a commit failed that assumed this one.

        Where that does not explain it, assume a lower one; nothing is done if one is already.
        """
        ...
