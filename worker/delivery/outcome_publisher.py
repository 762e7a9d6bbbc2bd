"""Calls to the publisher, and the count of what it has not acknowledged."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from worker.domain.errors import NotWritten
from worker.domain.outcomes import Outcome
from worker.domain.ports import Clock, Publisher
from worker.domain.records import OutgoingRecord, Partition
from worker.engine.retry import RetryPolicy
from worker.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class PublishingHooks:
    """What publishing calls in the delivery that it works for.

    Attributes:
        durable: takes outcomes that were acknowledged.
        changed: called when there is more room, or a partition is no longer held back.
        wanted: of outcomes, those whose partition is still held under their epoch.
        rebuild: the outcome of the same record, by what its topic takes now.
        spawn: starts a task, or returns None when the worker ends.
    """

    durable: Callable[[Sequence[Outcome]], None]
    changed: Callable[[], None]
    wanted: Callable[[Sequence[Outcome]], list[Outcome]]
    rebuild: Callable[[Outcome], Outcome]
    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None] | None]


class OutcomePublisher:
    """Publishes outcomes once per call, and counts what is not acknowledged."""

    def __init__(
        self,
        *,
        publisher: Publisher,
        clock: Clock,
        telemetry: Telemetry,
        retries: RetryPolicy,
        hooks: PublishingHooks,
    ) -> None:
        self._publisher = publisher
        self._clock = clock
        self._telemetry = telemetry
        self._retries = retries
        self._hooks = hooks
        # by input partition
        self._records: Counter[Partition] = Counter()
        self._bytes: Counter[Partition] = Counter()

    def count(self, outcome: Outcome) -> None:
        """Count an outcome that is not published yet."""
        partition = outcome.record.partition
        self._records[partition] += 1
        self._bytes[partition] += outcome.size_bytes

    def uncount(self, outcome: Outcome) -> None:
        """An outcome was acknowledged, dropped or replaced."""
        partition = outcome.record.partition
        self._records[partition] -= 1
        self._bytes[partition] -= outcome.size_bytes
        if not self._records[partition]:
            del self._records[partition], self._bytes[partition]

    def size(self, partition: Partition) -> tuple[int, int]:
        """How many outcomes of an input partition are not acknowledged, and their bytes."""
        return self._records[partition], self._bytes[partition]

    def partitions(self) -> list[Partition]:
        """The input partitions of which an outcome is not acknowledged."""
        return list(self._records)

    def drop(self, outcomes: Iterable[Outcome]) -> None:
        """Give up outcomes whose records have another owner."""
        void = list(outcomes)
        self._telemetry.void(void)
        for outcome in void:
            self.uncount(outcome)

    def take(self, waiting: deque[Outcome], limit: int) -> list[Outcome]:
        """The oldest that are still wanted; the rest of what is taken is dropped."""
        taken = [waiting.popleft() for _ in range(min(limit, len(waiting)))]
        wanted = self._hooks.wanted(taken)
        if len(wanted) < len(taken):
            kept = {id(outcome) for outcome in wanted}
            for outcome in taken:
                if id(outcome) not in kept:
                    self.uncount(outcome)
            self._hooks.changed()
        return wanted

    def is_wanted(self, outcome: Outcome) -> bool:
        """Whether an outcome is still wanted; one that is not is dropped."""
        if self._hooks.wanted([outcome]):
            return True
        self.uncount(outcome)
        self._hooks.changed()
        return False

    async def publish(self, outcomes: Sequence[Outcome]) -> list[tuple[Outcome, NotWritten]]:
        """Publish these, and report what was acknowledged; returns what was not.

        Raises:
            Retriable: nothing could be tried.
        """
        if not outcomes:
            return []
        with self._telemetry.operation("publish"):
            results = await self._publisher.publish([outgoing(outcome) for outcome in outcomes])
        failed, done = [], []
        for outcome, failure in zip(outcomes, results, strict=True):
            if failure is None:
                self.uncount(outcome)
                done.append(outcome)
            else:
                failed.append((outcome, failure))
        if done:
            self._hooks.durable(done)
        return failed

    async def batch_too_large(self, topic: str) -> None:
        """A topic refused a batch: read its limit again."""
        await self._publisher.too_large(topic)

    async def smaller(self, outcome: Outcome, failure: NotWritten) -> Outcome | None:
        """What to publish for a record that was refused alone as too large; None if the same."""
        await self._publisher.too_large(failure.topic, outcome.size_bytes)
        rebuilt = self._hooks.rebuild(outcome)
        if rebuilt.size_bytes < outcome.size_bytes or rebuilt.kind != outcome.kind:
            return rebuilt
        return None

    async def pause_after(self, failures: int) -> None:
        """Wait before the next attempt."""
        await self._clock.sleep(self._retries.pause_seconds(failures, random.random()))  # noqa: S311


def outgoing(outcome: Outcome) -> OutgoingRecord:
    """What is sent for an outcome that is no tombstone."""
    assert outcome.outgoing is not None, "a tombstone is not sent"  # noqa: S101
    return outcome.outgoing
