"""The ports of the core: each has an adapter for production and one in memory for tests."""

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
        """Seconds of a clock that never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for this time."""
        ...


class AssignmentListener(Protocol):
    """Called by a source when its assignment changes; no record is delivered during a call."""

    async def assigned(self, partitions: Collection[Partition]) -> None:
        """These partitions were assigned: they are paused until each is sought and resumed."""
        ...

    async def revoked(self, partitions: Collection[Partition]) -> None:
        """These partitions are reassigned when this call returns: settle them now."""
        ...

    async def lost(self, partitions: Collection[Partition]) -> None:
        """These partitions already belong to another member: settle nothing."""
        ...


class Source(Protocol):
    """A member of a consumer group."""

    async def start(self, listener: AssignmentListener) -> None:
        """Join the group.

        Raises:
            BusUnavailable: the brokers, the topics or the access rights are missing.
        """
        ...

    async def receive(self) -> Sequence[tuple[Partition, Record]]:
        """Records that arrived, or none after a short wait; must be called continuously.

        The epoch of the records is 0: the pipeline sets it. The position moves past the records
        when the call returns and not before, so that no commit can skip them.
        """
        ...

    async def locate(self, partition: Partition) -> CommittedOffset:
        """The committed offset of the group, or the offset at which a new group starts.

        Raises:
            Retriable: the offset could not be read; the partition may have been reassigned.
        """
        ...

    def seek(self, partition: Partition, offset: int) -> None:
        """Receive from this offset on.

        Raises:
            Retriable: the partition was reassigned.
        """
        ...

    def pause(self, partitions: Collection[Partition]) -> None:
        """Receive nothing from these until they are resumed."""
        ...

    def resume(self, partitions: Collection[Partition]) -> None:
        """Receive from these again."""
        ...

    async def position(self, partition: Partition) -> int | None:
        """The next offset to be received, past gaps; None when the partition is not held."""
        ...

    async def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The end offsets of these; with `read_committed`, the last stable offsets.

        Raises:
            Retriable: no broker answers at the moment.
        """
        ...

    def unstable(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Per partition, records after the start of an open transaction, as of the last fetch."""
        ...

    async def commit(self, offsets: Mapping[Partition, CommittedOffset]) -> None:
        """Commit the next offsets to read, each with its metadata.

        Raises:
            Retriable: not committed, for a transient reason or because of a rebalance.
        """
        ...

    def trouble(self) -> str | None:
        """A failure that has lasted for some time: its place and its cause; None without one."""
        ...

    async def stop(self) -> None:
        """Leave the group, within a bounded time."""
        ...


class Publisher(Protocol):
    """Produces durably; concurrent calls do not affect one another."""

    async def start(self) -> None:
        """Connect.

        Raises:
            BusUnavailable: the brokers or the topics are missing.
        """
        ...

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[NotWritten | None]:
        """Produce these within a bounded time; for each in order, why it was not acknowledged.

        None means that all in-sync replicas acknowledged the record. In a call with several
        records, one can make others fail: produce a record alone to find its own failure.

        Raises:
            Retriable: no record was sent.
        """
        ...

    def max_bytes(self, topic: str) -> int:
        """The largest record that the topic takes, as far as is known."""
        ...

    async def too_large(self, topic: str, size_bytes: int | None = None) -> None:
        """Read the limit of a topic again, after it refused a record or a batch as too large.

        `size_bytes` is the size of a record that was refused alone: where the limit that was read
        allows it, a lower one is assumed. Without it, a batch was refused, and batches become
        smaller.
        """
        ...

    async def stop(self) -> None:
        """Disconnect, within a bounded time."""
        ...


class Transactor(Protocol):
    """The one producer that may write with its transactional id."""

    async def commit(
        self, records: Sequence[OutgoingRecord], offsets: Mapping[Partition, CommittedOffset]
    ) -> None:
        """Write records and commit offsets in one transaction: all or none.

        Raises:
            NotWritten: a topic did not take a record, so nothing was committed.
            Retriable: it is unknown whether the transaction was committed.

        After either, close this transactor and open another one.
        """
        ...

    async def close(self) -> None:
        """Disconnect, within a bounded time; Kafka aborts an open transaction later."""
        ...


class Transactions(Protocol):
    """Opens transactors for one consumer group."""

    async def start(self) -> None:
        """Check the topics.

        Raises:
            BusUnavailable: the brokers or the topics are missing.
        """
        ...

    async def open(self, transactional_id: str) -> Transactor:
        """Fence the previous producer with this id; its open transaction is ended first.

        Raises:
            Retriable: refused for a transient reason.
            BusUnavailable: refused permanently.
        """
        ...

    def max_bytes(self, topic: str) -> int:
        """The largest record that the topic takes, as far as is known."""
        ...

    async def too_large(self, topic: str, limit: int) -> None:
        """Read the limit of a topic again, after a commit failed that relied on this one.

        Where the limit that was read does not explain the failure, a lower one is assumed, unless
        that was done before.
        """
        ...
