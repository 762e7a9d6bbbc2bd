"""A producer."""

import asyncio
from collections.abc import Sequence

from typing_extensions import override

from worker.adapters.memory.bus import AssumedLimits, MemoryBus
from worker.domain.errors import NotWritten, Retriable
from worker.domain.ports import Publisher
from worker.domain.records import OutgoingRecord


class MemoryPublisher(Publisher):
    """Produces to a `MemoryBus`.

    `fail_next` calls do nothing and fail; `doubt_next` calls succeed and report a failure.
    """

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._limits = AssumedLimits(bus)
        self.fail_next = 0
        self.doubt_next = 0

    @override
    async def start(self) -> None:
        """Nothing to connect to."""

    @override
    async def publish(self, records: Sequence[OutgoingRecord]) -> list[NotWritten | None]:
        await asyncio.sleep(0)
        if self.fail_next:
            self.fail_next -= 1
            raise Retriable("The bus refuses.")
        refusals = [self._bus.refusal(record) for record in records]
        # one batch for each topic: a record that is refused takes its neighbours with it
        refused = {refusal.topic: refusal for refusal in refusals if refusal is not None}
        results = [refused.get(record.topic) for record in records]
        self._bus.produce(
            [record for record, failure in zip(records, results, strict=True) if failure is None]
        )
        if self.doubt_next:
            self.doubt_next -= 1
            return [NotWritten(record.topic, "no answer came") for record in records]
        return results

    @override
    def max_bytes(self, topic: str) -> int:
        return self._limits.max_bytes(topic)

    @override
    async def too_large(self, topic: str, size_bytes: int | None = None) -> None:
        await asyncio.sleep(0)
        if size_bytes is not None and self.max_bytes(topic) >= size_bytes:
            self._limits.assume(topic, size_bytes - 1)

    @override
    async def stop(self) -> None:
        """Nothing to disconnect from."""
