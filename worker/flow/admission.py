"""Admission: how much may be judged that is not durable yet.

A slot is acquired before the engine is called and released when the delivery has accepted the
outcome. Outcomes are always accepted: what is bounded is admission, so that an outcome which
others wait for can never be shut out by them. While more outcomes wait to be written than the
outbox takes, nothing is admitted; so at most `in_flight_limit` and the outbox together are judged
while the brokers refuse. One partition may fill half of the outbox, so that a partition that
cannot be written leaves room for the others.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from worker.delivery.base import Delivery
from worker.domain.ports import Clock
from worker.domain.records import Partition, Record
from worker.flow.ownership import Ownership
from worker.flow.workload import EngineTime
from worker.telemetry import Telemetry, names


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """How much.

    Attributes:
        in_flight_limit: records admitted whose outcome is not accepted yet; a little more than the
            engine runs at once.
        outbox_bytes: the size of the outcomes that wait to be written.
    """

    in_flight_limit: int
    outbox_bytes: int = 64 << 20

    @property
    def outbox_records(self) -> int:
        """How many outcomes may wait to be written."""
        return 2 * self.in_flight_limit


class Admission:
    """Counts each record from the time it is taken out of its queue until its outcome is accepted.

    Not thread-safe. Whatever frees a slot calls `changed`.

    Args:
        max_num_seqs: how many prompts the engine runs at once; read when it runs.

    Attributes:
        in_flight: records that hold a slot.
    """

    def __init__(
        self,
        policy: AdmissionPolicy,
        *,
        delivery: Delivery,
        ownership: Ownership,
        clock: Clock,
        max_num_seqs: Callable[[], int],
    ) -> None:
        self._policy = policy
        self._delivery = delivery
        self._ownership = ownership
        self._clock = clock
        self._max_num_seqs = max_num_seqs
        self._engine_time = EngineTime()
        self._waiting: set[asyncio.Future[None]] = set()
        # by partition and epoch: taken and not accepted, and those of them that are admitted
        self._taken: Counter[tuple[Partition, int]] = Counter()
        self._admitted: Counter[tuple[Partition, int]] = Counter()
        self.in_flight = 0

    def register_gauges(self, telemetry: Telemetry) -> None:
        """Report the records in flight, and their bound."""
        telemetry.watch(names.IN_FLIGHT, lambda: self.in_flight)
        telemetry.watch(names.IN_FLIGHT_LIMIT, lambda: self._policy.in_flight_limit)

    def engine_time(self) -> EngineTime:
        """How long records have been in flight until now."""
        if self.in_flight:
            now, most = self._clock.monotonic(), self._max_num_seqs()
            self._engine_time.count(now, min(self.in_flight / most, 1.0))
        else:
            self._engine_time.skip(self._clock.monotonic())
        return self._engine_time

    def take(self, record: Record) -> None:
        """A record was taken out of its queue."""
        self._taken[record.partition, record.epoch] += 1

    async def room(self, count: int) -> None:
        """Wait until that many records may be admitted; more than fit go in alone."""
        await self.until(
            lambda: (
                self.is_open
                and (self.in_flight == 0 or self.in_flight + count <= self._policy.in_flight_limit)
            )
        )

    def acquire(self, record: Record) -> None:
        """A record goes to the engine, or straight to its outcome: it holds a slot from now on."""
        self.engine_time()
        self._admitted[record.partition, record.epoch] += 1
        self.in_flight += 1

    def returned(self, record: Record) -> None:
        """An admitted record came back from the engine, and its outcome was accepted."""
        self._engine_time.records += 1
        self.release(record)

    def release(self, record: Record) -> None:
        """The outcome of an admitted record was accepted, or it has none and is dropped."""
        self.engine_time()
        _decrement(self._admitted, record)
        self.in_flight -= 1
        self.drop(record)

    def drop(self, record: Record) -> None:
        """A record that was taken is dropped before it was admitted."""
        _decrement(self._taken, record)
        self.changed()

    def admitted(self, held: Collection[tuple[Partition, int]]) -> int:
        """How many admitted records of these partitions and epochs have no accepted outcome."""
        return sum(self._admitted[key] for key in held)

    @property
    def is_open(self) -> bool:
        """Whether the outbox is below its limits; if not, it is written without delay."""
        unwritten = self._delivery.unwritten()
        records = sum(count for count, _ in unwritten.values())
        size_bytes = sum(size for _, size in unwritten.values())
        policy = self._policy
        if records < policy.outbox_records and size_bytes < policy.outbox_bytes:
            return True
        self._delivery.hurry(unwritten)
        return False

    def limits(self) -> dict[Partition, int]:
        """How many records may be taken, for each partition where that is limited.

        These are the ones that the delivery holds back, and those that fill half of the outbox.
        """
        limits = {}
        for partition, allowed in self._delivery.limits().items():
            epoch = self._ownership.epoch(partition)
            taken = 0 if epoch is None else self._taken[partition, epoch]
            limits[partition] = max(allowed - taken, 0)
        crowded = []
        for partition, (records, size_bytes) in self._delivery.unwritten().items():
            if (
                2 * records >= self._policy.outbox_records
                or 2 * size_bytes >= self._policy.outbox_bytes
            ):
                limits[partition] = 0
                crowded.append(partition)
        if crowded:
            self._delivery.hurry(crowded)
        return limits

    async def until_idle(self) -> None:
        """Wait until nothing is being judged or sent."""
        await self.until(lambda: not self.in_flight)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until this holds; it is asked again whenever something changes."""
        while not condition():
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)

    def changed(self) -> None:
        """Have all that wait check their conditions again."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


def _decrement(counts: Counter[tuple[Partition, int]], record: Record) -> None:
    key = record.partition, record.epoch
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
