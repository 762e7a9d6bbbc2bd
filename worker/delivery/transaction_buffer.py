"""The outcomes of one partition on their way into transactions."""

import asyncio
import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from worker.domain.outcomes import Outcome
from worker.domain.records import Partition


@dataclass(slots=True)
class PartitionTransactionBuffer:
    """A partition under one epoch: its outcomes that are not committed yet.

    Attributes:
        ready: outcomes inside the contiguous prefix; `ready_bytes` is their size.
        leaving: those of them that the current transaction holds.
        marks: whether the metadata must be written even if the offset does not change.
        behind: offsets past the prefix, a heap.
        committed_at: when its last transaction ended, in monotonic seconds.
    """

    partition: Partition
    epoch: int
    outcomes: dict[int, Outcome] = field(default_factory=dict, init=False)
    ready: int = field(default=0, init=False)
    leaving: int = field(default=0, init=False)
    size_bytes: int = field(default=0, init=False)
    marks: bool = field(default=False, init=False)
    ready_bytes: int = field(default=0, init=False)
    committed_at: float = field(default=-math.inf, init=False)
    behind: list[int] = field(default_factory=list, init=False)
    work: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    urgent: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    flushes: list[asyncio.Event] = field(default_factory=list, init=False)

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome until it is committed."""
        self.outcomes[outcome.record.offset] = outcome
        self.size_bytes += outcome.size_bytes
        heapq.heappush(self.behind, outcome.record.offset)

    def reached(self, count: int) -> None:
        """The contiguous prefix has grown by `count` outcomes."""
        self.ready += count
        for _ in range(count):
            self.ready_bytes += self.outcomes[heapq.heappop(self.behind)].size_bytes

    def leave(self, end: int, limit: int) -> list[Outcome]:
        """The oldest outcomes before the offset `end`, in input order, for a transaction."""
        offsets = sorted(offset for offset in self.outcomes if offset < end)[:limit]
        self.leaving = len(offsets)
        return [self.outcomes[offset] for offset in offsets]

    def remove(self, outcomes: Sequence[Outcome]) -> None:
        """Forget outcomes that a transaction committed."""
        for outcome in outcomes:
            del self.outcomes[outcome.record.offset]
            self.size_bytes -= outcome.size_bytes
            self.ready_bytes -= outcome.size_bytes
        self.ready -= len(outcomes)
        self.leaving = 0

    def flush(self) -> asyncio.Event:
        """Ask for a commit without delay; the event is set when it is done or has failed."""
        done = asyncio.Event()
        self.flushes.append(done)
        self.work.set()
        self.urgent.set()
        return done

    async def due(self, wait_seconds: Callable[[], float]) -> None:
        """Wait until there is something to commit, then up to `wait_seconds` for more."""
        await self.work.wait()
        try:
            async with asyncio.timeout(wait_seconds()):
                await self.urgent.wait()
        except TimeoutError:
            pass
        self.work.clear()
        self.urgent.clear()
