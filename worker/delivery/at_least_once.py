"""At least once: publish as judged, commit the contiguous prefix on an interval.

A crash between the two repeats outcomes, with the same verdict ids, and loses none.
"""

import asyncio
import logging
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any

from typing_extensions import override

from worker.delivery.base import MOST_BEGUN, Delivery, end
from worker.delivery.outcome_publisher import PublishingHooks
from worker.delivery.publishing import Publishing
from worker.domain.errors import Retriable
from worker.domain.outcomes import Outcome
from worker.domain.ports import Clock, Publisher, Source
from worker.domain.records import CommittedOffset, Partition
from worker.engine.retry import RetryPolicy
from worker.telemetry import Telemetry

logger = logging.getLogger(__name__)


class AtLeastOnce(Delivery):
    """Publishes as judged, commits behind it: see the module."""

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
        self._commit_lock = asyncio.Lock()  # one commit at a time, and it covers all partitions
        self._crowded: set[Partition] = set()
        self._settling: asyncio.Task[None] | None = None
        self._publishing = Publishing(
            publisher=publisher,
            clock=clock,
            telemetry=telemetry,
            retries=retries,
            hooks=PublishingHooks(
                durable=self._acknowledged,
                changed=self._changed,
                rebuild=self._rebuild,
                wanted=self._still_ours,
                spawn=self._spawn,
            ),
        )

    @override
    async def start(self) -> None:
        await self._publisher.start()

    @override
    async def stop(self) -> None:
        await end(self._publishing.tasks())
        await self._publisher.stop()

    @override
    def max_bytes(self, topic: str) -> int:
        return self._publisher.max_bytes(topic)

    @override
    def trouble(self) -> str | None:
        return self._publishing.trouble()

    @override
    def backlog(self, partition: Partition) -> tuple[int, int]:
        return self._ledger.tracked(partition), self._publishing.size(partition)[1]

    @override
    def unwritten(self) -> dict[Partition, tuple[int, int]]:
        return self._publishing.unwritten()

    @override
    def limits(self) -> dict[Partition, int]:
        return dict.fromkeys(self._publishing.held_back(), 0)

    @override
    def undelivered(self, partitions: Collection[Partition]) -> int:
        return sum(self._publishing.size(partition)[0] for partition in partitions)

    async def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Queue for publishing, which is repeated until each is acknowledged."""
        ours = self._still_ours(outcomes)
        self._publishing.add(o for o in ours if o.outgoing)
        if unsent := [o for o in ours if not o.outgoing]:
            self._acknowledged(unsent)

    @override
    async def revoked(self, partitions: Collection[Partition]) -> None:
        await super().revoked(partitions)
        await end(self._publishing.tasks(None if not self._owners else partitions))
        self._publishing.drop(partitions)
        self._changed()

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

    @override
    async def release(self, partitions: Collection[Partition]) -> None:
        async with self._commit_lock:
            for partition in partitions:
                await self._advance(partition)
                if (window := self.window(partition)) is not None:
                    window.close()
            # all of them, also where only the metadata changes
            held = {p: o for p in partitions if (o := self._ledger.committed(p)) is not None}
            await self._commit(held | self._ledger.committable(partitions))

    @override
    async def _write_mark(self, partition: Partition) -> bool:
        offset = self._ledger.committed(partition)
        if offset is None:
            return False
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
            self._note_commit(partition, epoch, offsets[partition])
        return True

    async def _own(self, partition: Partition) -> None:
        failures = 0
        takeover = self._takeover(partition)
        while True:
            try:
                adopted = await takeover.adopt()
                async with self._commit_lock:  # so that `release` waits for it
                    await self._source.commit({partition: adopted.marked})
                    self._begin(partition, adopted.found.offset, adopted.window)
            except Retriable as error:
                failures += 1
                logger.warning("%s Trying again.", error)
                await self._pause_after(failures)
            else:
                return
