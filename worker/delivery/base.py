"""Who publishes outcomes and who settles offsets: the two belong together.

`Delivery` is what both guarantees share: which partitions are held and under which epoch, what of
them is resolved, and how one is taken over. What differs is `AtLeastOnce` and `ExactlyOnce`.
"""

import asyncio
import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from worker.delivery.offset_ledger import OffsetLedger
from worker.delivery.suspect_window import SuspectWindow
from worker.delivery.takeover import Takeover
from worker.domain.outcomes import Outcome
from worker.domain.ports import Clock, Source
from worker.domain.records import Partition, Record
from worker.engine.retry import RetryPolicy
from worker.telemetry import Telemetry

if TYPE_CHECKING:
    from worker.domain.poison import PoisonMark

# after a worker's death all that it may have begun is judged in small groups: not too many
MOST_BEGUN = 1024
# longer than an owner may need to close its producer, which a second cancellation would cut short
_CANCEL_AGAIN_SECONDS = 15.0


class Delivery(ABC):
    """Publishes outcomes, and moves offsets only after them.

    A partition has an owner task from its assignment to its revocation. It takes the partition
    over (marks the committed offset, seeks to it, begins an epoch, resumes it), again and again
    where that fails. Records and outcomes of another epoch are void. What may be begun of a
    partition, and what is stored with its committed offset, is up to its `SuspectWindow`.

    Args:
        most_begun: records of a partition that are begun behind its committed offset.
        retries: how long to wait between attempts; their number is not bounded, since nothing
            may be lost.
    """

    def __init__(
        self,
        *,
        source: Source,
        clock: Clock,
        telemetry: Telemetry,
        most_begun: int = MOST_BEGUN,
        retries: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._source = source
        self._clock = clock
        self._telemetry = telemetry
        self._retries = retries
        self._uniform = uniform
        self._most_begun = most_begun
        self._ledger = OffsetLedger()
        self._windows: dict[Partition, SuspectWindow] = {}
        # of partitions that were lost, offset and mark by which a record was to begin but did not
        self._announced: dict[Partition, tuple[int, PoisonMark]] = {}
        # held while marks are changed and written; at least once needs it
        self._commit_lock: AbstractAsyncContextManager[None] = nullcontext()
        self.settled = 0  # outcomes that are durable
        self._epochs = itertools.count(1)
        self._group: asyncio.TaskGroup | None = None
        self._owners: dict[Partition, asyncio.Task[None]] = {}
        self._on_change: Callable[[], None] = lambda: None
        self._rebuilder: Callable[[Outcome], Outcome] = lambda outcome: outcome
        self._on_epoch: Callable[[Collection[Partition]], None] = lambda _: None

    def attend(
        self,
        *,
        changed: Callable[[], None],
        rebuild: Callable[[Outcome], Outcome],
        began: Callable[[Collection[Partition]], None],
    ) -> None:
        """Set what is called when outcomes become durable or void, and what makes smaller ones.

        Args:
            changed: called after `unwritten`, `limits` or a window may have changed.
            rebuild: the outcome of the same record, by what its topic takes now.
            began: called before partitions are received from under a new epoch: what waits of an
                older one is void.
        """
        self._on_change, self._rebuilder, self._on_epoch = changed, rebuild, began

    @abstractmethod
    async def start(self) -> None:
        """Connect.

        Raises:
            BusUnavailable: the brokers or the topics are not there.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Disconnect, within a bounded time; what is unsettled stays so."""

    @abstractmethod
    def max_bytes(self, topic: str) -> int:
        """The largest record the topic takes."""

    @abstractmethod
    async def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Accept outcomes, and make them durable; those of a past epoch are dropped."""

    @abstractmethod
    def unwritten(self) -> dict[Partition, tuple[int, int]]:
        """Outcomes, in records and bytes, that wait for the brokers and for nothing else.

        Those that wait for an older record of their partition are not among them, nor are dead
        letters that their topic has refused: they hold back their own partition, by `limits`.
        """

    def limits(self) -> dict[Partition, int]:
        """How many more records of a partition are wanted, for those that are held back."""
        return {}

    def hurry(self, partitions: Iterable[Partition]) -> None:  # noqa: B027 - nothing waits here
        """Write what waits of these partitions at once, without waiting for more to join it."""

    def undelivered(self, partitions: Collection[Partition]) -> int:  # noqa: ARG002
        """Outcomes of these partitions that become durable before `settle` is worth its call."""
        return 0

    @abstractmethod
    async def settle(self, partitions: Collection[Partition] | None = None) -> None:
        """Move the offsets of what is resolved, of these partitions or of all."""

    @abstractmethod
    async def release(self, partitions: Collection[Partition]) -> None:
        """Settle these, and record that nothing of them is being judged any more.

        What is not released counts as a death for their next owner.
        """

    async def suspect(self, partition: Partition, *, begins: bool) -> bool:
        """Record that a record begins alone, or has been judged; False if that failed."""
        async with self._commit_lock:
            if (window := self.window(partition)) is None:
                return False
            window.suspect(begins=begins)
            return await self._write_mark(partition)

    @abstractmethod
    async def _write_mark(self, partition: Partition) -> bool:
        """Commit the mark of the partition's window with the offset; False if that failed."""

    @abstractmethod
    def _own(self, partition: Partition) -> Coroutine[Any, Any, None]:
        """Take the partition over and do what its owner does."""

    def serve(self, group: asyncio.TaskGroup) -> None:
        """Run owners in this group, so that an unexpected failure of one stops the worker."""
        self._group = group

    def assigned(self, partitions: Collection[Partition]) -> None:
        """Take these over in the background, so that the rebalance does not wait for it."""
        assert self._group is not None, "serve() comes first"  # noqa: S101
        for partition in partitions:
            owning = self._own(partition)
            try:
                owner = self._group.create_task(owning, name=f"own {partition}")
            except RuntimeError:
                # a rebalance that was in progress while the worker ends
                owning.close()
                return
            self._owners[partition] = owner

    async def revoked(self, partitions: Collection[Partition]) -> None:
        """Forget these partitions; settle their outcomes first."""
        await end([self._owners.pop(p) for p in partitions if p in self._owners])
        self._forget(partitions)

    def epoch(self, partition: Partition) -> int | None:
        """The epoch under which the partition is held; None while it is not taken over."""
        return self._ledger.epoch(partition)

    def committed(self, partition: Partition) -> int | None:
        """The next offset to read that was committed, as far as is known."""
        return self._ledger.committed(partition)

    def window(self, partition: Partition) -> SuspectWindow | None:
        """What may be begun of a partition; None while it is not taken over."""
        return self._windows.get(partition)

    def received(self, record: Record) -> bool:
        """Track a record; False for one that is not ours or was seen before."""
        return self._ledger.receive(record.partition, record.epoch, record.offset)

    def backlog(self, partition: Partition) -> tuple[int, int]:
        """How many records wait behind the partition's oldest open one, and bytes of outcomes."""
        return self._ledger.tracked(partition), 0

    def trouble(self) -> str | None:
        """Why outcomes do not become durable at the moment, if they do not."""
        return None

    def _changed(self) -> None:
        self._on_change()

    def _rebuild(self, outcome: Outcome) -> Outcome:
        return self._rebuilder(outcome)

    def _durable(self, outcomes: Sequence[Outcome]) -> None:
        self.settled += len(outcomes)
        self._telemetry.durable(outcomes)
        self._changed()

    def _begin(self, partition: Partition, offset: int, window: SuspectWindow) -> int:
        """A new epoch from this offset on."""
        self._source.seek(partition, offset)
        epoch = next(self._epochs)
        self._ledger.assign(partition, epoch, offset)
        self._windows[partition] = window
        self._on_epoch([partition])
        self._source.resume([partition])
        return epoch

    def _note_commit(self, partition: Partition, epoch: int, offset: int) -> None:
        """This offset was committed under this epoch, with the mark of the window."""
        self._ledger.note_commit({partition: offset}, {partition: epoch})
        if self.epoch(partition) == epoch:
            self._windows[partition].pass_commit(offset)
            self._changed()

    def _forget(self, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            window, offset = self._windows.pop(partition, None), self.committed(partition)
            if window is not None and offset is not None and window.announced is not None:
                self._announced[partition] = (offset, window.announced)
        self._ledger.forget(partitions)

    def _takeover(self, partition: Partition) -> Takeover:
        """The takeover of a partition that may have been this worker's before."""
        announced = self._announced.pop(partition, None)
        return Takeover(self._source, partition, self._most_begun, announced)

    async def _pause_after(self, failures: int) -> None:
        await self._clock.sleep(self._retries.pause_seconds(failures, self._uniform()))

    async def _advance(self, partition: Partition) -> None:
        """Take the consumer's position, where nothing is unresolved, as what is resolved."""
        epoch = self._ledger.epoch(partition)
        if epoch is None or self._ledger.unresolved([partition]):
            return
        position = await self._source.position(partition)
        # the ledger checks again: records may have come meanwhile
        if position is not None:
            self._ledger.advance(partition, epoch, position)


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they are done.

    Once is not enough: the client's library can swallow a cancellation that comes together with
    an answer, and a task that loops would then never end.
    """
    pending = {task for task in tasks if not task.done()}
    # one that is being cancelled may be closing what it holds: a second time would cut that short
    to_cancel = {task for task in pending if not task.cancelling()}
    while pending:
        for task in to_cancel:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_SECONDS)
        to_cancel = pending
