"""The records that were received and not taken yet: bounded queues, one per partition.

Records are taken round robin, so that a partition with a long backlog does not starve the
others; a partition that holds too much is paused at the source until half of it is gone.
"""

import sys
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from worker.domain.ports import Clock
from worker.domain.records import Partition, Record
from worker.telemetry import Telemetry, names


@dataclass(frozen=True, slots=True)
class QueueBounds:
    """How much is received before partitions are paused.

    Attributes:
        records_per_partition: in a partition's queue before it is paused.
        bytes_per_partition: in a partition's queue, or its waiting outcomes, before it is paused.
        total_bytes: in all queues before all partitions are paused.
        unsettled_records_per_partition: received and not settled, behind one slow record, before
            the partition is paused.
    """

    records_per_partition: int = 512
    bytes_per_partition: int = 16 << 20
    total_bytes: int = 256 << 20
    unsettled_records_per_partition: int = 4096

    def is_crowded(self, unsettled_records: int, outcome_bytes: int) -> bool:
        """Whether a partition has too much that was taken out of its queue and is not settled."""
        return (
            unsettled_records >= self.unsettled_records_per_partition
            or outcome_bytes >= self.bytes_per_partition
        )


@dataclass(slots=True)
class _Queue:
    records: deque[Record] = field(default_factory=deque)
    size_bytes: int = 0


class PartitionQueues:
    """The queues between receiving and judging."""

    def __init__(self, bounds: QueueBounds) -> None:
        self._bounds = bounds
        self._total_bytes = 0
        self._queues: dict[Partition, _Queue] = {}
        self._paused: set[Partition] = set()

    def __len__(self) -> int:
        return sum(len(queue.records) for queue in self._queues.values())

    def register_gauges(self, telemetry: Telemetry, clock: Clock) -> None:
        """Report how much waits, for how long, and how many partitions are paused."""
        telemetry.watch(names.QUEUED_RECORDS, lambda: len(self))
        telemetry.watch(names.QUEUED_SIZE, lambda: self._total_bytes)
        telemetry.watch(names.QUEUED_AGE, lambda: self.age_seconds(clock.now()))
        telemetry.watch(names.PARTITIONS_PAUSED, lambda: len(self._paused))

    def age_seconds(self, now: float) -> float:
        """How long the record that waits longest has been waiting, at this Unix time."""
        heads = (queue.records[0].received_at for queue in self._queues.values())
        return max(now - min(heads, default=now), 0.0)

    def put(self, record: Record) -> None:
        """Queue a record."""
        queue = self._queues.setdefault(record.partition, _Queue())
        queue.records.append(record)
        size_bytes = record.size_bytes
        queue.size_bytes += size_bytes
        self._total_bytes += size_bytes

    def take(
        self, limit: int, room: Callable[[Partition], int] = lambda _: sys.maxsize
    ) -> list[Record]:
        """Up to `limit` records, one of each partition in turn; in order within a partition.

        Args:
            limit: of all partitions together.
            room: how many of a partition may be taken.
        """
        taken: list[Record] = []
        left = {partition: room(partition) for partition in self._queues}
        turns = [partition for partition in self._queues if left[partition] > 0]
        while turns and len(taken) < limit:
            for partition in turns[: limit - len(taken)]:
                queue = self._queues.pop(partition)
                record = queue.records.popleft()
                size_bytes = record.size_bytes
                queue.size_bytes -= size_bytes
                self._total_bytes -= size_bytes
                taken.append(record)
                left[partition] -= 1
                if queue.records:
                    # to the end of the dict: a partition that was served goes last next time
                    self._queues[partition] = queue
            turns = [p for p in turns if p in self._queues and left[p] > 0]
        return taken

    def waiting(self) -> list[Partition]:
        """The partitions of which records wait, in the order of their turns."""
        return list(self._queues)

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget everything of partitions that are no longer ours."""
        for partition in partitions:
            queue = self._queues.pop(partition, None)
            self._total_bytes -= queue.size_bytes if queue else 0
            self._paused.discard(partition)

    def to_pause(self, crowded: Collection[Partition] = ()) -> set[Partition]:
        """Partitions that have become full since the last call, or are `crowded` further on."""
        full = {
            partition
            for partition, queue in self._queues.items()
            if len(queue.records) >= self._bounds.records_per_partition
            or queue.size_bytes >= self._bounds.bytes_per_partition
            or self._too_heavy
        }
        new = full.union(crowded) - self._paused
        self._paused |= new
        return new

    def to_resume(self, crowded: Collection[Partition] = ()) -> set[Partition]:
        """Paused partitions of which half is gone, and that are not `crowded` further on."""
        if 2 * self._total_bytes > self._bounds.total_bytes:
            return set()
        ready = set()
        for partition in self._paused.difference(crowded):
            queue = self._queues.get(partition)
            if queue is None or (
                len(queue.records) * 2 <= self._bounds.records_per_partition
                and queue.size_bytes * 2 <= self._bounds.bytes_per_partition
            ):
                ready.add(partition)
        self._paused -= ready
        return ready

    @property
    def _too_heavy(self) -> bool:
        return self._total_bytes >= self._bounds.total_bytes
