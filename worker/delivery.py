"""Who publishes outcomes and who settles offsets: the two belong together.

`Delivery` is the seam for the guarantees. `AtLeastOnce` publishes each outcome as soon as it is
judged and commits the contiguous prefix on an interval; a crash in between repeats outcomes, with
the same verdict ids, and loses none.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.errors import Retriable
from worker.ledger import Ledger
from worker.ports import Clock, Publisher, Source
from worker.records import OutgoingRecord, Partition, Record
from worker.retrying import RetryPolicy

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a record; `outgoing` is None for a tombstone, which is only counted."""

    record: Record
    outgoing: OutgoingRecord | None


class Delivery(Protocol):
    """Publishes outcomes, and moves offsets only after them."""

    def assigned(self, partitions: Collection[Partition]) -> None:
        """Begin a new epoch for these partitions."""
        ...

    def epoch(self, partition: Partition) -> int | None:
        """The epoch under which the partition is held; None when it is not."""
        ...

    def received(self, record: Record) -> bool:
        """Track a record; False for one that is not ours or was seen before."""
        ...

    async def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Make outcomes durable; those of a past epoch are dropped."""
        ...

    async def settle(self, partitions: Collection[Partition] | None = None) -> None:
        """Move the offsets of what is resolved."""
        ...

    def revoked(self, partitions: Collection[Partition]) -> None:
        """Forget these partitions."""
        ...

    def unresolved(self) -> int:
        """Received records that still want an outcome."""
        ...


class AtLeastOnce:
    """Publish as judged, commit the contiguous prefix."""

    def __init__(
        self,
        *,
        source: Source,
        publisher: Publisher,
        clock: Clock,
        retries: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
    ) -> None:
        self._source = source
        self._publisher = publisher
        self._clock = clock
        self._retries = retries
        self._ledger = Ledger()
        self._epoch = 0
        self._commit_lock = asyncio.Lock()
        self._held: set[Partition] = set()

    def assigned(self, partitions: Collection[Partition]) -> None:
        """See `Delivery`."""
        self._epoch += 1
        for partition in partitions:
            self._ledger.assign(partition, self._epoch)
            self._held.add(partition)

    def epoch(self, partition: Partition) -> int | None:
        """See `Delivery`."""
        return self._ledger.epoch(partition)

    def received(self, record: Record) -> bool:
        """See `Delivery`."""
        return self._ledger.receive(record.partition, record.epoch, record.offset)

    async def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Publish and resolve; tried again for as long as it takes, since nothing may be lost."""
        failures = 0
        while True:
            current = [o for o in outcomes if self.epoch(o.record.partition) == o.record.epoch]
            outgoing = [o.outgoing for o in current if o.outgoing is not None]
            try:
                if outgoing:
                    await self._publisher.publish(outgoing)
                break
            except Retriable as error:
                failures += 1
                pause = self._retries.pause_seconds(failures, 1.0)
                logger.warning("%s Trying again in %.1f s.", error, pause)
                await self._clock.sleep(pause)
        for outcome in current:
            record = outcome.record
            self._ledger.resolve(record.partition, record.epoch, record.offset)

    async def settle(self, partitions: Collection[Partition] | None = None) -> None:
        """Commit; a commit that fails is logged and comes again with the next one."""
        async with self._commit_lock:
            for partition in list(self._held if partitions is None else partitions):
                epoch = self._ledger.epoch(partition)
                if epoch is None or self._ledger.unresolved([partition]):
                    continue
                position = await self._source.position(partition)
                # asked again inside: records may have come while we waited
                if position is not None:
                    self._ledger.advance(partition, epoch, position)
            offsets = self._ledger.committable(partitions)
            if not offsets:
                return
            epochs = {p: e for p in offsets if (e := self._ledger.epoch(p)) is not None}
            try:
                await self._source.commit(offsets)
            except Retriable as error:
                logger.warning("%s", error)
                return
            self._ledger.committed(offsets, epochs)

    def revoked(self, partitions: Collection[Partition]) -> None:
        """See `Delivery`."""
        self._ledger.forget(partitions)
        self._held.difference_update(partitions)

    def unresolved(self) -> int:
        """See `Delivery`."""
        return self._ledger.unresolved()
