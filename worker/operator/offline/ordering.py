"""What is done in any order, in the order in which it was begun."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NamedTuple

from worker.domain.records import Record
from worker.flow.judging_all import Judged
from worker.operator.offline.inputs import Chunk, Place


class Done(NamedTuple):
    """A record that is done, with its exchanges, and the place in the input after it."""

    exchanges: list[Judged]
    place: Place


class InOrder:
    """Holds what is done until everything before it is.

    Args:
        most: how many records are read past the first one that is not done: as many results are
            held at most, and a chunk more.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._begun = deque[tuple[int, Place]]()
        self._held: dict[int, list[Judged]] = {}
        self._space = asyncio.Event()

    async def begun(self, chunks: AsyncIterator[Chunk]) -> AsyncIterator[Sequence[Record]]:
        """The records of chunks, no more than are allowed."""
        async for chunk in chunks:
            while len(self._begun) >= self._most:
                self._space.clear()
                await self._space.wait()
            offsets = (record.offset for record in chunk.records)
            self._begun.extend(zip(offsets, chunk.places, strict=True))
            yield chunk.records

    def done(self, exchanges: list[Judged]) -> Iterator[Done]:
        """What can continue, now that this record is done."""
        self._held[exchanges[0].record.offset] = exchanges
        while self._begun and (found := self._held.pop(self._begun[0][0], None)) is not None:
            _, place = self._begun.popleft()
            self._space.set()
            yield Done(found, place)
