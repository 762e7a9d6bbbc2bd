"""Publishing outcomes so that one refused record holds up its own input partition at most.

The outcomes of one topic are published together, by one task. One that was not acknowledged leaves
the queue of its topic, and what follows of the same input partition for that topic goes after it:
they are published apart, in separate calls, until nothing is left of them. A record that its
topic refuses is tried alone, since those that share its batch are refused with it. Order within a
partition is not kept.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Collection, Iterable

from worker.delivery.outcome_publisher import OutcomePublisher, PendingRecord, PublishingHooks
from worker.delivery.partition_publishing import CHUNK, PartitionPublishing
from worker.domain.errors import NotWritten, Retriable
from worker.domain.outcomes import Outcome
from worker.domain.ports import Clock, Publisher
from worker.domain.records import Partition
from worker.engine.retry import RetryPolicy
from worker.telemetry import Telemetry

logger = logging.getLogger(__name__)

# concurrent calls for single partitions: each may use another connection
_CALLS_APART = 8


class Publishing:
    """Publishes outcomes until they are acknowledged, however long that takes."""

    def __init__(
        self,
        *,
        publisher: Publisher,
        clock: Clock,
        telemetry: Telemetry,
        retries: RetryPolicy,
        hooks: PublishingHooks,
    ) -> None:
        self._hooks = hooks
        self._publisher = OutcomePublisher(
            publisher=publisher, clock=clock, telemetry=telemetry, retries=retries, hooks=hooks
        )
        self._flows: dict[str, deque[PendingRecord]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._apart: dict[tuple[Partition, str], PartitionPublishing] = {}
        self._troubles: dict[str, str] = {}
        self._calls_apart = asyncio.Semaphore(_CALLS_APART)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Publish these in time; each has something to be sent."""
        for outcome in outcomes:
            for pending in self._publisher.begin(outcome):
                self._add(pending)

    def _add(self, pending: PendingRecord) -> None:
        topic = pending.outgoing.topic
        if (apart := self._apart.get((pending.partition, topic))) is not None:
            apart.waiting.append(pending)
            return
        flow = self._flows.setdefault(topic, deque())
        flow.append(pending)
        running = self._tasks.get(topic)
        # one that was cancelled before its first step has not removed itself
        if running is None or running.done():
            task = self._hooks.spawn(self._publish_topic(topic, flow))
            if task is not None:
                self._tasks[topic] = task

    def size(self, partition: Partition) -> tuple[int, int]:
        """How many outcomes of an input partition are not acknowledged, and their bytes."""
        return self._publisher.size(partition)

    def unwritten(self) -> dict[Partition, tuple[int, int]]:
        """What waits for the brokers and for nothing else, as `Delivery.unwritten` reports it."""
        refused: Counter[Partition] = Counter()
        refused_bytes: Counter[Partition] = Counter()
        for (partition, _), apart in self._apart.items():
            for pending in (*apart.waiting, *apart.calling):
                # a dead letter is one record
                if pending.outcome.kind == "dead_letter":
                    refused[partition] += 1
                    refused_bytes[partition] += pending.outgoing.size_bytes
        found = {}
        for partition in self._publisher.partitions():
            records, size_bytes = self._publisher.size(partition)
            found[partition] = records - refused[partition], size_bytes - refused_bytes[partition]
        return found

    def held_back(self) -> set[Partition]:
        """The input partitions of which an outcome has failed and is not acknowledged yet."""
        return {partition for partition, _ in self._apart}

    def trouble(self) -> str | None:
        """What cannot be written at the moment, and why."""
        for reason in self._troubles.values():
            return reason
        for (partition, _), apart in self._apart.items():
            if apart.error is not None:
                return f"{apart.error} {partition} is held back."
        return None

    def tasks(self, partitions: Collection[Partition] | None = None) -> list[asyncio.Task[None]]:
        """The tasks that publish for single partitions, of these; or every task."""
        chosen = [
            apart.task
            for (partition, _), apart in self._apart.items()
            if apart.task is not None and (partitions is None or partition in partitions)
        ]
        return chosen if partitions is not None else [*chosen, *self._tasks.values()]

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget what waits of these; what is in a call is forgotten when the call returns."""
        for flow in self._flows.values():
            kept = [one for one in flow if one.partition not in partitions]
            self._publisher.drop(one for one in flow if one.partition in partitions)
            flow.clear()
            flow.extend(kept)
        for key in [key for key in self._apart if key[0] in partitions]:
            waiting = self._apart.pop(key).waiting
            self._publisher.drop(waiting)
            waiting.clear()

    async def _publish_topic(self, topic: str, waiting: deque[PendingRecord]) -> None:
        failures = 0
        try:
            while waiting:
                chosen = self._publisher.take(waiting, CHUNK)
                try:
                    failed = await self._publisher.publish(chosen)
                except Retriable as error:
                    waiting.extendleft(reversed(chosen))
                    failures += 1
                    if self._troubles.get(topic) != str(error):
                        logger.warning("%s Trying again.", error)
                    self._troubles[topic] = str(error)
                    await self._publisher.pause_after(failures)
                    continue
                except BaseException:
                    waiting.extendleft(reversed(chosen))
                    raise
                failures = 0
                self._troubles.pop(topic, None)
                try:
                    if any(failure.kind == "too_large" for _, failure in failed):
                        # perhaps only the batch was
                        await self._publisher.batch_too_large(topic)
                finally:
                    for pending, failure in failed:
                        self._set_apart(topic, pending, failure)
        finally:
            self._tasks.pop(topic, None)
            self._troubles.pop(topic, None)

    def _set_apart(self, topic: str, pending: PendingRecord, failure: NotWritten) -> None:
        if not self._publisher.is_wanted(pending):
            return
        key = pending.partition, topic
        if (apart := self._apart.get(key)) is None:
            apart = PartitionPublishing(
                self._publisher,
                slots=self._calls_apart,
                report=lambda one, error: self._report(key[0], one, error),
                add=lambda outcome: self.add([outcome]),
            )
            self._apart[key] = apart
            self._report(key[0], apart, failure)
            apart.task = self._hooks.spawn(
                self._publish_apart(key, apart, alone=failure.kind != "passing")
            )
            # what waits in the topic's queue would only fail with it
            flow = self._flows[topic]
            theirs = [one for one in flow if one.partition == key[0]]
            if theirs:
                others = [one for one in flow if one.partition != key[0]]
                flow.clear()
                flow.extend(others)
                apart.waiting.extend(theirs)
        apart.waiting.append(pending)

    async def _publish_apart(
        self, key: tuple[Partition, str], apart: PartitionPublishing, *, alone: bool
    ) -> None:
        await apart.run(alone=alone)
        if self._apart.get(key) is apart:
            del self._apart[key]
            self._hooks.changed()

    def _report(self, partition: Partition, apart: PartitionPublishing, error: Retriable) -> None:
        reason = str(error)
        if all(other.error != reason for other in self._apart.values()):
            logger.warning("%s %s is held back.", reason, partition)
        apart.error = reason
