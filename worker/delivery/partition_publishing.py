"""Publishing for one input partition after a failure, apart from all others."""

from asyncio import Semaphore, Task
from collections import deque
from collections.abc import Callable, Sequence

from worker.delivery.outcome_publisher import OutcomePublisher, PendingRecord
from worker.domain.errors import NotWritten, Retriable
from worker.domain.outcomes import Outcome

# records that one call publishes
CHUNK = 500


class PartitionPublishing:
    """What waits of one input partition for one topic, after a failure.

    Args:
        slots: bounds the calls at the same time.
        report: called with an error that is new, or may be.
        add: publishes an outcome that takes the place of a larger one.

    Attributes:
        waiting: records that wait.
        calling: records of the current call.
        error: why the last call failed; None after one that did not.
        task: what publishes them.
    """

    def __init__(
        self,
        publisher: OutcomePublisher,
        *,
        slots: Semaphore,
        report: Callable[["PartitionPublishing", Retriable], None],
        add: Callable[[Outcome], None],
    ) -> None:
        self._publisher = publisher
        self._slots = slots
        self._report = report
        self._add = add
        self.waiting: deque[PendingRecord] = deque()
        self.calling: list[PendingRecord] = []
        self.error: str | None = None
        self.task: Task[None] | None = None

    async def run(self, *, alone: bool) -> None:
        """Publish until nothing waits.

        Args:
            alone: one record in each call, until one call succeeds.
        """
        failures = 0
        unchanged = 0  # records that failed since the last pause or success
        while self.waiting:
            self.calling = self._publisher.take(self.waiting, 1 if alone else CHUNK)
            try:
                async with self._slots:
                    failed = await self._publisher.publish(self.calling)
            except Retriable as error:
                self.waiting.extend(self.calling)
                unchanged = len(self.waiting)
                self._report(self, error)
            except BaseException:
                self.waiting.extend(self.calling)
                raise
            else:
                if failed:
                    self._report(self, failed[0][1])
                    unchanged += await self._try_smaller(failed, alone=alone)
                    alone = any(failure.kind != "passing" for _, failure in failed)
                else:
                    self.error = None
                    failures = unchanged = 0
            finally:
                self.calling = []
            if unchanged and unchanged >= len(self.waiting):
                unchanged = 0
                failures += 1
                await self._publisher.pause_after(failures)

    async def _try_smaller(
        self, failed: Sequence[tuple[PendingRecord, NotWritten]], *, alone: bool
    ) -> int:
        """Queue again what failed, smaller where it was too large; how many stay as they were."""
        unchanged = 0
        for pending, failure in failed:
            if failure.kind == "too_large" and alone:
                try:
                    smaller = await self._publisher.smaller(pending, failure)
                except BaseException:
                    self.waiting.append(pending)
                    raise
                if smaller is not None:
                    self._add(smaller)
                    continue
            self.waiting.append(pending)
            unchanged += 1
        return unchanged
