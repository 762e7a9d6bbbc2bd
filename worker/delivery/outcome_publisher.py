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


@dataclass(frozen=True, slots=True, eq=False)
class PendingRecord:
    """A record of an outcome that is not acknowledged."""

    outcome: Outcome
    outgoing: OutgoingRecord

    @property
    def partition(self) -> Partition:
        """The input partition."""
        return self.outcome.record.partition


class OutcomePublisher:
    """Publishes records of outcomes once per call, and counts what is not acknowledged.

    An outcome is durable when the last of its records is acknowledged.
    """

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
        # records of an outcome that are not acknowledged; one that is not here is replaced
        self._left: dict[int, int] = {}
        # by input partition
        self._outcomes: Counter[Partition] = Counter()
        self._bytes: Counter[Partition] = Counter()

    def begin(self, outcome: Outcome) -> list[PendingRecord]:
        """Count an outcome before it is published; its records."""
        partition = outcome.record.partition
        self._outcomes[partition] += 1
        self._bytes[partition] += outcome.size_bytes
        self._left[id(outcome)] = len(outcome.outgoing)
        return [PendingRecord(outcome, outgoing) for outgoing in outcome.outgoing]

    def replace(self, outcome: Outcome) -> None:
        """Another outcome takes the place of this one: its other records are not published."""
        if self._left.pop(id(outcome), None) is not None:
            self._uncount_outcome(outcome.record.partition)

    def size(self, partition: Partition) -> tuple[int, int]:
        """How many outcomes of an input partition are not acknowledged, and their bytes."""
        return self._outcomes[partition], self._bytes[partition]

    def partitions(self) -> list[Partition]:
        """The input partitions of which an outcome is not acknowledged."""
        return list(self._outcomes)

    def drop(self, pending: Iterable[PendingRecord]) -> None:
        """Give up records of outcomes that another owner publishes."""
        given_up = list(pending)
        self._telemetry.void(list({id(one.outcome): one.outcome for one in given_up}.values()))
        for one in given_up:
            self._give_up(one)

    def take(self, waiting: deque[PendingRecord], limit: int) -> list[PendingRecord]:
        """The oldest that are still wanted; the rest of what is taken is dropped."""
        taken = [waiting.popleft() for _ in range(min(limit, len(waiting)))]
        wanted = {id(one) for one in self._hooks.wanted([one.outcome for one in taken])}
        kept = []
        for one in taken:
            if id(one.outcome) in wanted and id(one.outcome) in self._left:
                kept.append(one)
            else:
                self._give_up(one)
        if len(kept) < len(taken):
            self._hooks.changed()
        return kept

    def is_wanted(self, pending: PendingRecord) -> bool:
        """Whether a record is still wanted; one that is not is dropped."""
        if id(pending.outcome) in self._left and self._hooks.wanted([pending.outcome]):
            return True
        self._give_up(pending)
        self._hooks.changed()
        return False

    async def publish(
        self, pending: Sequence[PendingRecord]
    ) -> list[tuple[PendingRecord, NotWritten]]:
        """Publish these, and report what became durable; returns what was not acknowledged.

        Raises:
            Retriable: nothing could be tried.
        """
        if not pending:
            return []
        with self._telemetry.operation("publish"):
            results = await self._publisher.publish([one.outgoing for one in pending])
        failed, done = [], []
        for one, failure in zip(pending, results, strict=True):
            if failure is not None:
                failed.append((one, failure))
                continue
            self._uncount_bytes(one)
            left = self._left.get(id(one.outcome))
            if left is None:
                continue
            if left > 1:
                self._left[id(one.outcome)] = left - 1
                continue
            self.replace(one.outcome)
            done.append(one.outcome)
        if done:
            self._hooks.durable(done)
        return failed

    async def batch_too_large(self, topic: str) -> None:
        """A topic refused a batch: read its limit again."""
        await self._publisher.too_large(topic)

    async def smaller(self, pending: PendingRecord, failure: NotWritten) -> Outcome | None:
        """What to publish for a record that was refused alone as too large; None if the same."""
        outcome = pending.outcome
        await self._publisher.too_large(failure.topic, pending.outgoing.size_bytes)
        rebuilt = self._hooks.rebuild(outcome)
        if rebuilt.size_bytes < outcome.size_bytes or rebuilt.kind != outcome.kind:
            self._give_up(pending)
            return rebuilt
        return None

    async def pause_after(self, failures: int) -> None:
        """Wait before the next attempt."""
        await self._clock.sleep(self._retries.pause_seconds(failures, random.random()))  # noqa: S311

    def _give_up(self, pending: PendingRecord) -> None:
        self._uncount_bytes(pending)
        self.replace(pending.outcome)

    def _uncount_bytes(self, pending: PendingRecord) -> None:
        partition = pending.partition
        self._bytes[partition] -= pending.outgoing.size_bytes
        if not self._bytes[partition]:
            del self._bytes[partition]

    def _uncount_outcome(self, partition: Partition) -> None:
        self._outcomes[partition] -= 1
        if not self._outcomes[partition]:
            del self._outcomes[partition]
