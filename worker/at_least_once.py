"""At least once: publish as judged, commit the contiguous prefix on an interval.

A crash between the two repeats outcomes, with the same verdict ids, and loses none.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence

from worker.delivery import Delivery
from worker.errors import Retriable
from worker.outcomes import Outcome
from worker.ports import Clock, Publisher, Source
from worker.records import OutgoingRecord, Partition
from worker.retrying import RetryPolicy
from worker.telemetry import Telemetry

logger = logging.getLogger(__name__)


class AtLeastOnce(Delivery):
    """See the module."""

    def __init__(
        self,
        *,
        source: Source,
        publisher: Publisher,
        clock: Clock,
        telemetry: Telemetry,
        retries: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(source=source, clock=clock, telemetry=telemetry, retries=retries)
        self._publisher = publisher
        self._commit_lock = asyncio.Lock()
        self._trouble: str | None = None

    async def start(self) -> None:
        """See `Delivery`."""
        await self._publisher.start()

    async def stop(self) -> None:
        """See `Delivery`."""
        await self._publisher.stop()

    def max_bytes(self, topic: str) -> int:
        """See `Delivery`."""
        return self._publisher.max_bytes(topic)

    def trouble(self) -> str | None:
        """See `Delivery`."""
        return self._trouble

    async def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Publish and resolve; what was not acknowledged is tried again for as long as it takes."""
        failures = 0
        remaining = list(outcomes)
        while True:
            remaining = self._still_ours(remaining)
            outgoing = [o.outgoing for o in remaining if o.outgoing is not None]
            try:
                acknowledged = iter(await self._publish(outgoing))
            except Retriable as error:
                failures += 1
                self._trouble = str(error)
                logger.warning("%s Trying again.", error)
            else:
                published, unpublished = [], []
                for outcome in remaining:
                    if outcome.outgoing is None or next(acknowledged):
                        record = outcome.record
                        self._ledger.resolve(record.partition, record.epoch, record.offset)
                        published.append(outcome)
                    else:
                        unpublished.append(outcome)
                self._durable(published)
                remaining = unpublished
                if not remaining:
                    self._trouble = None
                    return
                failures += 1
                self._trouble = f"{len(remaining)} records were not acknowledged."
                logger.warning("%s Trying again.", self._trouble)
            await self._pause_after(failures)

    async def _publish(self, outgoing: list[OutgoingRecord]) -> list[bool]:
        if not outgoing:
            return []
        with self._telemetry.operation("publish"):
            return await self._publisher.publish(outgoing)

    def _still_ours(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        kept: list[Outcome] = []
        void: list[Outcome] = []
        for outcome in outcomes:
            record = outcome.record
            (kept if self.epoch(record.partition) == record.epoch else void).append(outcome)
        self._telemetry.void(void)
        return kept

    async def settle(self, partitions: Collection[Partition] | None = None) -> None:
        """Commit; a commit that fails is logged and comes again with the next one."""
        async with self._commit_lock:
            for partition in list(self._owners if partitions is None else partitions):
                await self._advance(partition)
            offsets = self._ledger.committable(partitions)
            if not offsets:
                return
            epochs = {p: e for p in offsets if (e := self.epoch(p)) is not None}
            try:
                with self._telemetry.operation("commit"):
                    await self._source.commit(offsets)
            except Retriable as error:
                logger.warning("%s", error)
                return
            self._ledger.committed(offsets, epochs)

    async def _own(self, partition: Partition) -> None:
        failures = 0
        while True:
            try:
                committed = await self._source.rewind(partition)
            except Retriable as error:
                failures += 1
                logger.warning("%s Trying again.", error)
                await self._pause_after(failures)
            else:
                self._begin(partition, committed)
                return
