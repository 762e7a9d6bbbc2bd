"""Publishing outcomes so that one refused record holds up its own input partition at most.

The outcomes of one topic are published together, by a flow of its own. One that was not
acknowledged leaves the flow, and what follows of the same input partition for that topic goes after
it: they are published apart, in calls of their own, until nothing is left of them. A record that
its topic refuses is tried alone, since those that share its batch are refused with it. Order within
a partition is not kept.
"""

import asyncio
import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.domain.errors import NotWritten, Retriable
from worker.domain.outcomes import Outcome
from worker.domain.ports import Clock, Publisher
from worker.domain.records import OutgoingRecord, Partition
from worker.engine.retry import RetryPolicy
from worker.telemetry import Telemetry

logger = logging.getLogger(__name__)

_CHUNK = 500
# calls for single partitions at the same time: each may have a connection of its own
_SEATS = 8


@dataclass(slots=True)
class _Apart:
    """What waits of one input partition for one topic, after a failure."""

    outcomes: deque[Outcome] = field(default_factory=deque)
    calling: list[Outcome] = field(default_factory=list)
    error: str | None = None
    task: asyncio.Task[None] | None = None


class Publishing:
    """Publishes outcomes until they are acknowledged, however long that takes.

    Args:
        durable: called with outcomes that were acknowledged.
        wanted: of outcomes, those whose partition is still held under their epoch.
        rebuild: the outcome of the same record, by what its topic takes now.
        spawn: starts a task, or returns None when the worker ends.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        clock: Clock,
        telemetry: Telemetry,
        retries: RetryPolicy,
        durable: Callable[[Sequence[Outcome]], None],
        wanted: Callable[[Sequence[Outcome]], list[Outcome]],
        rebuild: Callable[[Outcome], Outcome],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None] | None],
    ) -> None:
        self._publisher = publisher
        self._clock = clock
        self._telemetry = telemetry
        self._retries = retries
        self._durable = durable
        self._wanted = wanted
        self._rebuild = rebuild
        self._spawn = spawn
        self._flows: dict[str, deque[Outcome]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._apart: dict[tuple[Partition, str], _Apart] = {}
        self._troubles: dict[str, str] = {}
        self._seats = asyncio.Semaphore(_SEATS)
        # of each input partition, what is not acknowledged
        self._records: Counter[Partition] = Counter()
        self._bytes: Counter[Partition] = Counter()

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Publish these in time; each has something to be sent."""
        for outcome in outcomes:
            partition = outcome.record.partition
            self._records[partition] += 1
            self._bytes[partition] += outcome.size_bytes
            self._queue(outcome)

    def _queue(self, outcome: Outcome) -> None:
        topic = _outgoing(outcome).topic
        if (apart := self._apart.get((outcome.record.partition, topic))) is not None:
            apart.outcomes.append(outcome)
            return
        flow = self._flows.setdefault(topic, deque())
        flow.append(outcome)
        flowing = self._tasks.get(topic)
        # one that was cancelled before its first step has not said that it is gone
        if flowing is None or flowing.done():
            task = self._spawn(self._flow(topic, flow))
            if task is not None:
                self._tasks[topic] = task

    def size(self, partition: Partition) -> tuple[int, int]:
        """How many outcomes of an input partition are not acknowledged, and their bytes."""
        return self._records[partition], self._bytes[partition]

    def unwritten(self) -> dict[Partition, tuple[int, int]]:
        """See `Delivery.unwritten`."""
        refused: Counter[Partition] = Counter()
        refused_bytes: Counter[Partition] = Counter()
        for (partition, _), apart in self._apart.items():
            for outcome in (*apart.outcomes, *apart.calling):
                if outcome.kind == "dead_letter":
                    refused[partition] += 1
                    refused_bytes[partition] += outcome.size_bytes
        return {
            partition: (
                count - refused[partition],
                self._bytes[partition] - refused_bytes[partition],
            )
            for partition, count in self._records.items()
        }

    def held_back(self) -> set[Partition]:
        """The input partitions of which an outcome has failed and is not acknowledged yet."""
        return {partition for partition, _ in self._apart}

    def trouble(self) -> str | None:
        """What cannot be written at the moment, and why."""
        for said in self._troubles.values():
            return said
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
            kept = [o for o in flow if o.record.partition not in partitions]
            self._forget([o for o in flow if o.record.partition in partitions])
            flow.clear()
            flow.extend(kept)
        for key in [key for key in self._apart if key[0] in partitions]:
            outcomes = self._apart.pop(key).outcomes
            self._forget(outcomes)
            outcomes.clear()

    def _forget(self, outcomes: Iterable[Outcome]) -> None:
        void = list(outcomes)
        self._telemetry.void(void)
        for outcome in void:
            self._left(outcome)

    def _left(self, outcome: Outcome) -> None:
        partition = outcome.record.partition
        self._records[partition] -= 1
        self._bytes[partition] -= outcome.size_bytes
        if not self._records[partition]:
            del self._records[partition], self._bytes[partition]

    # all of a topic together

    async def _flow(self, topic: str, waiting: deque[Outcome]) -> None:
        failures = 0
        try:
            while waiting:
                chosen = self._take(waiting, _CHUNK)
                try:
                    results = await self._publish(chosen)
                except Retriable as error:
                    waiting.extendleft(reversed(chosen))
                    failures += 1
                    if self._troubles.get(topic) != str(error):
                        logger.warning("%s Trying again.", error)
                    self._troubles[topic] = str(error)
                    await self._pause_after(failures)
                    continue
                except BaseException:
                    waiting.extendleft(reversed(chosen))
                    raise
                failures = 0
                self._troubles.pop(topic, None)
                failed = self._conclude(chosen, results)
                try:
                    if any(failure.kind == "too_large" for _, failure in failed):
                        # perhaps only the batch was
                        await self._publisher.too_large(topic)
                finally:
                    for outcome, failure in failed:
                        self._set_apart(topic, outcome, failure)
        finally:
            self._tasks.pop(topic, None)
            self._troubles.pop(topic, None)

    def _take(self, waiting: deque[Outcome], limit: int) -> list[Outcome]:
        """The oldest that are still wanted; the rest of what is taken is forgotten."""
        taken = [waiting.popleft() for _ in range(min(limit, len(waiting)))]
        wanted = self._wanted(taken)
        if len(wanted) < len(taken):
            kept = {id(outcome) for outcome in wanted}
            for outcome in taken:
                if id(outcome) not in kept:
                    self._left(outcome)
            self._durable([])  # there is more room now
        return wanted

    async def _publish(self, outcomes: Sequence[Outcome]) -> list[NotWritten | None]:
        if not outcomes:
            return []
        with self._telemetry.operation("publish"):
            return await self._publisher.publish([_outgoing(outcome) for outcome in outcomes])

    def _conclude(
        self, outcomes: Sequence[Outcome], results: Sequence[NotWritten | None]
    ) -> list[tuple[Outcome, NotWritten]]:
        """Report what was acknowledged; returns what was not."""
        failed, done = [], []
        for outcome, failure in zip(outcomes, results, strict=True):
            if failure is None:
                self._left(outcome)
                done.append(outcome)
            else:
                failed.append((outcome, failure))
        if done:
            self._durable(done)
        return failed

    # one partition apart

    def _set_apart(self, topic: str, outcome: Outcome, failure: NotWritten) -> None:
        if not self._wanted([outcome]):
            self._left(outcome)
            self._durable([])
            return
        key = outcome.record.partition, topic
        if (apart := self._apart.get(key)) is None:
            self._apart[key] = apart = _Apart()
            self._report(key, apart, failure)
            apart.task = self._spawn(self._go_apart(key, apart, alone=failure.kind != "passing"))
            # what waits in the flow would only fail with it
            flow = self._flows[topic]
            theirs = [o for o in flow if o.record.partition == key[0]]
            if theirs:
                others = [o for o in flow if o.record.partition != key[0]]
                flow.clear()
                flow.extend(others)
                apart.outcomes.extend(theirs)
        apart.outcomes.append(outcome)

    async def _go_apart(self, key: tuple[Partition, str], apart: _Apart, *, alone: bool) -> None:
        failures = 0
        in_vain = 0  # since the last pause or success
        while apart.outcomes:
            apart.calling = self._take(apart.outcomes, 1 if alone else _CHUNK)
            failed: list[tuple[Outcome, NotWritten]] = []
            try:
                async with self._seats:
                    failed = self._conclude(apart.calling, await self._publish(apart.calling))
            except Retriable as error:
                apart.outcomes.extend(apart.calling)
                in_vain = len(apart.outcomes)
                self._report(key, apart, error)
            except BaseException:
                apart.outcomes.extend(apart.calling)
                raise
            else:
                if failed:
                    self._report(key, apart, failed[0][1])
                    in_vain += await self._try_smaller(failed, apart, alone=alone)
                    alone = any(failure.kind != "passing" for _, failure in failed)
                else:
                    apart.error = None
                    failures = in_vain = 0
            finally:
                apart.calling = []
            if in_vain and in_vain >= len(apart.outcomes):
                in_vain = 0
                failures += 1
                await self._pause_after(failures)
        if self._apart.get(key) is apart:
            del self._apart[key]
            self._durable([])  # the partition is no longer held back

    async def _try_smaller(
        self, failed: Sequence[tuple[Outcome, NotWritten]], apart: _Apart, *, alone: bool
    ) -> int:
        """Queue again what failed, smaller where it was too large; how many stay as they were."""
        unchanged = 0
        for outcome, failure in failed:
            if failure.kind == "too_large" and alone:
                try:
                    await self._publisher.too_large(failure.topic, outcome.size_bytes)
                except BaseException:
                    apart.outcomes.append(outcome)
                    raise
                rebuilt = self._rebuild(outcome)
                if rebuilt.size_bytes < outcome.size_bytes or rebuilt.kind != outcome.kind:
                    self._left(outcome)
                    self.add([rebuilt])
                    continue
            apart.outcomes.append(outcome)
            unchanged += 1
        return unchanged

    def _report(self, key: tuple[Partition, str], apart: _Apart, error: Retriable) -> None:
        said = str(error)
        if all(other.error != said for other in self._apart.values()):
            logger.warning("%s %s is held back.", said, key[0])
        apart.error = said

    async def _pause_after(self, failures: int) -> None:
        await self._clock.sleep(self._retries.pause_seconds(failures, random.random()))  # noqa: S311


def _outgoing(outcome: Outcome) -> OutgoingRecord:
    assert outcome.outgoing is not None, "a tombstone is not sent"  # noqa: S101
    return outcome.outgoing
