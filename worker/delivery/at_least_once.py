"""At least once: publish as judged, commit the contiguous prefix on an interval.

A crash between the two repeats outcomes, with the same verdict ids, and loses none.
"""

import asyncio
import logging
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any

from worker.delivery.base import MOST_BEGUN, Delivery, Takeover, end
from worker.delivery.publishing import Publishing
from worker.delivery.suspects import SuspectWindow
from worker.domain.errors import Retriable
from worker.domain.outcomes import Outcome
from worker.domain.ports import Clock, Publisher, Source
from worker.domain.records import CommittedOffset, Partition
from worker.engine.retry import RetryPolicy
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
        most_begun: int = MOST_BEGUN,
        retries: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(
            source=source,
            clock=clock,
            telemetry=telemetry,
            most_begun=most_begun,
            retries=retries,
        )
        self._publisher = publisher
        self._commit_lock = asyncio.Lock()
        self._crowded: set[Partition] = set()
        self._settling: asyncio.Task[None] | None = None
        self._publishing = Publishing(
            publisher=publisher,
            clock=clock,
            telemetry=telemetry,
            retries=retries,
            durable=self._acknowledged,
            wanted=self._still_ours,
            rebuild=self._smaller,
            spawn=self._spawn,
        )

    async def start(self) -> None:
        """See `Delivery`."""
        await self._publisher.start()

    async def stop(self) -> None:
        """See `Delivery`."""
        await end(self._publishing.tasks())
        await self._publisher.stop()

    def max_bytes(self, topic: str) -> int:
        """See `Delivery`."""
        return self._publisher.max_bytes(topic)

    def trouble(self) -> str | None:
        """See `Delivery`."""
        return self._publishing.trouble()

    def backlog(self, partition: Partition) -> tuple[int, int]:
        """See `Delivery`."""
        return self._ledger.tracked(partition), self._publishing.size(partition)[1]

    def unwritten(self) -> dict[Partition, tuple[int, int]]:
        """See `Delivery`."""
        return self._publishing.unwritten()

    def limits(self) -> dict[Partition, int]:
        """See `Delivery`."""
        return dict.fromkeys(self._publishing.held_back(), 0)

    def undelivered(self, partitions: Collection[Partition]) -> int:
        """See `Delivery`."""
        return sum(self._publishing.size(partition)[0] for partition in partitions)

    async def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Queue for publishing; what was not acknowledged is tried for as long as it takes."""
        ours = self._still_ours(outcomes)
        self._publishing.add(o for o in ours if o.outgoing is not None)
        if unsent := [o for o in ours if o.outgoing is None]:
            self._acknowledged(unsent)

    async def revoked(self, partitions: Collection[Partition]) -> None:
        """See `Delivery`."""
        await super().revoked(partitions)
        await end(self._publishing.tasks(None if not self._owners else partitions))
        self._publishing.drop(partitions)
        self._changed()

    def _smaller(self, outcome: Outcome) -> Outcome:
        return self._rebuild(outcome)

    def _acknowledged(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            record = outcome.record
            self._ledger.resolve(record.partition, record.epoch, record.offset)
        self._durable(outcomes)
        for partition in {outcome.record.partition for outcome in outcomes}:
            if (window := self.window(partition)) is not None and window.is_crowded:
                self._crowded.add(partition)
        if self._crowded and self._settling is None:
            self._settling = self._spawn(self._settle_crowded())

    async def _settle_crowded(self) -> None:
        """Commit at once where the next records wait for it."""
        try:
            while self._crowded:
                crowded, self._crowded = self._crowded, set()
                await self.settle(crowded)
        finally:
            self._settling = None

    def _spawn(self, publishing: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        assert self._group is not None, "serve() comes first"  # noqa: S101
        try:
            return self._group.create_task(publishing, name="publish")
        except RuntimeError:
            # the worker ends
            publishing.close()
            return None

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
            await self._commit(self._ledger.committable(partitions))

    async def release(self, partitions: Collection[Partition]) -> None:
        """See `Delivery`."""
        async with self._commit_lock:
            for partition in partitions:
                await self._advance(partition)
                if (window := self.window(partition)) is not None:
                    window.close()
            # all of them, also where only the metadata changes
            held = {p: o for p in partitions if (o := self._ledger.position(p)) is not None}
            await self._commit(held | self._ledger.committable(partitions))

    async def suspect(self, partition: Partition, *, begins: bool) -> bool:
        """See `Delivery`."""
        async with self._commit_lock:
            window, offset = self.window(partition), self._ledger.position(partition)
            if window is None or offset is None:
                return False
            window.suspect(begins=begins)
            offset = self._ledger.committable([partition]).get(partition, offset)
            return await self._commit({partition: offset})

    async def _commit(self, offsets: Mapping[Partition, int]) -> bool:
        epochs = {p: e for p in offsets if (e := self.epoch(p)) is not None}
        if not epochs:
            return False
        wanted = {
            p: CommittedOffset(offsets[p], self._windows[p].mark_at(offsets[p]).encode())
            for p in epochs
        }
        try:
            with self._telemetry.operation("commit"):
                await self._source.commit(wanted)
        except Retriable as error:
            logger.warning("%s", error)
            return False
        for partition, epoch in epochs.items():
            self._committed(partition, epoch, offsets[partition])
        return True

    async def _own(self, partition: Partition) -> None:
        failures = 0
        takeover = Takeover()
        while True:
            try:
                committed = await self._source.locate(partition)
                mark = await self._take_mark(partition, committed, takeover)
                window = SuspectWindow(mark, self._most_begun)
                # before anything is begun: a death from now on must be seen by the next owner
                marked = CommittedOffset(committed.offset, window.mark.encode())
                async with self._commit_lock:  # so that `release` waits for it
                    await self._source.commit({partition: marked})
                    self._begin(partition, committed.offset, window)
            except Retriable as error:
                failures += 1
                logger.warning("%s Trying again.", error)
                await self._pause_after(failures)
            else:
                return
