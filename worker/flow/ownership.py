"""Which partitions this worker owns, and under which epoch: the flow asks for it here only."""

import dataclasses
from collections.abc import Collection

from worker.delivery.base import Delivery
from worker.domain.records import Partition, Record
from worker.telemetry import Telemetry, names


class Ownership:
    """The partitions of the current assignment.

    A partition is held from its assignment until it is released. It has an epoch while the
    delivery has taken it over, and its records are begun only then.

    Attributes:
        held: the partitions that are assigned and not released.
        is_closed: whether the worker stops: nothing more is taken over or begun.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._leaving: set[Partition] = set()
        self.held: set[Partition] = set()
        self.is_closed = False

    def register_gauges(self, telemetry: Telemetry) -> None:
        """Report how many partitions are taken over."""
        telemetry.watch(names.PARTITIONS_HELD, lambda: len(self.epochs()))

    def add(self, partitions: Collection[Partition]) -> None:
        """These partitions were assigned."""
        self._leaving.clear()
        self.held.update(partitions)

    def leave(self, partitions: Collection[Partition]) -> None:
        """These partitions are being revoked: no more of their records are begun."""
        self._leaving.update(partitions)

    def remove(self, partitions: Collection[Partition]) -> None:
        """These partitions have been released."""
        self.held.difference_update(partitions)

    def close(self) -> None:
        """Take over and begin nothing more."""
        self.is_closed = True

    def epoch(self, partition: Partition) -> int | None:
        """The epoch under which the partition is held; None while it is not taken over."""
        return self._delivery.epoch(partition)

    def epochs(self) -> dict[Partition, int]:
        """The epoch of each partition that is taken over."""
        return {p: epoch for p in self.held if (epoch := self.epoch(p)) is not None}

    def stamp(self, partition: Partition, raw: Record) -> Record | None:
        """A record that was received, with its epoch; None if its partition is not taken over."""
        epoch = self.epoch(partition)
        return None if epoch is None else dataclasses.replace(raw, epoch=epoch)

    def is_ours(self, record: Record) -> bool:
        """Whether the record may still be begun, and its outcome would count."""
        return (
            record.partition not in self._leaving
            and not self.is_closed
            and self.epoch(record.partition) == record.epoch
        )
