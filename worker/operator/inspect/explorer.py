"""Finds records and what became of them, by reading topics without a group."""

import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from worker.adapters.kafka.connection import Connection, describe_topics
from worker.adapters.kafka.reader import committed_offsets, held_offsets, read_ranges
from worker.domain.errors import GuardstreamError
from worker.domain.records import Partition, Record
from worker.operator.inspect.inspection import Finding, Place, Search, read_place, read_published
from worker.operator.redrive.redriving import read_letter

# whoever stamped the record and the worker that judged it need not agree on the time
_CLOCKS_DIFFER_MS = 60_000

Progress = Callable[[int, int], None]
_Ranges = dict[Partition, range]
# an id that a platform gives to everything would otherwise never end
_MOST_RECORDS = 20


@dataclass(frozen=True, slots=True)
class Found:
    """What was meant, the oldest outcome first; `left_out` counts older records not looked at."""

    findings: list[Finding]
    left_out: int = 0


class NotFound(GuardstreamError):  # noqa: N818
    """There is nothing of that name or at that place."""


class Explorer:
    """Looks into one worker's topics.

    Args:
        group_id: whose committed offsets say what was settled.
        since_ms: Unix milliseconds before which no outcome is looked for; None looks as far back
            as an outcome can lie.
        progress: is told how many offsets of the output topics were read, and of how many.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        verdict_topic: str,
        dead_letter_topic: str,
        group_id: str,
        since_ms: int | None = None,
        progress: Progress = lambda _done, _of: None,
    ) -> None:
        self._connection = connection
        self._verdict_topic = verdict_topic
        self._dead_letter_topic = dead_letter_topic
        self._group_id = group_id
        self._since_ms = since_ms
        self._progress = progress

    async def find(self, where: str) -> Found:
        """What is meant by a place, as `topic/partition@offset`, or by an event's id.

        What has the form of a place but names no topic is an id.

        Raises:
            NotFound: nothing is.
            BusUnavailable: the brokers or the topics are not there.
        """
        place = read_place(where)
        if place is None:
            return await self.find_event(where)
        if await self._has(place.partition.topic):
            return Found([await self.find_place(place)])
        try:
            return await self.find_event(where)
        except NotFound as error:
            raise NotFound(f"There is no topic {place.partition.topic}. {error}") from None

    async def find_place(self, place: Place) -> Finding:
        """The record at a place and its outcomes; of an outcome's own place, that of its source.

        Raises:
            NotFound: neither the record nor an outcome is there.
            BusUnavailable: the brokers or the topics are not there.
        """
        record, missing = await self._record(place)
        if place.partition.topic in self._outputs:
            source = _source(record, place)
            if source.partition.topic in self._outputs:
                raise NotFound(f"{place} says that it is of {source}, which is an outcome itself.")
            return await self.find_place(source)
        committed = await self._committed(place)
        search = Search(place)
        if record is None:
            await self._search(search, self._since_ms)
        elif record.value is not None:
            stamped = min(record.timestamp_ms, int(time.time() * 1000)) - _CLOCKS_DIFFER_MS
            since_ms = self._since_ms if self._since_ms is not None else max(stamped, 0)
            rest = await self._search(search, since_ms)
            if not search.sources and committed is not None and place.offset < committed:
                # there was an outcome, so the record's time may be no time of ours
                await self._read(search, rest if self._since_ms is None else {})
        found = Finding(place, record, missing, committed, search.outcomes(place))
        if record is None and not found.outcomes:
            raise NotFound(f"{missing} Nor is there an outcome of it in {self._said()}.")
        return found

    async def find_event(self, event_id: str) -> Found:
        """The records that an outcome says were the event of this id, with all such outcomes.

        Raises:
            NotFound: there is no such outcome.
            BusUnavailable: the brokers or the topics are not there.
        """
        search = Search(event_id)
        await self._search(search, self._since_ms)
        if not search.sources:
            raise NotFound(
                f"No verdict or dead letter in {self._said()} is of an event of this id; what has"
                " not been judged is found by its place, as topic/partition@offset."
            )
        shown = search.sources[-_MOST_RECORDS:]
        return Found(
            [await self._found_by(search, place) for place in shown],
            left_out=len(search.sources) - len(shown),
        )

    async def _found_by(self, search: Search, place: Place) -> Finding:
        outcomes = search.outcomes(place)
        try:
            record, missing = await self._record(place)
        except NotFound as error:
            # its topic was made anew, or is gone
            return Finding(place, None, str(error), None, outcomes)
        return Finding(place, record, missing, await self._committed(place), outcomes)

    @property
    def _outputs(self) -> tuple[str, str]:
        return self._verdict_topic, self._dead_letter_topic

    def _said(self) -> str:
        since = "" if self._since_ms is None else " since the time given"
        return f"{self._verdict_topic} and {self._dead_letter_topic}{since}"

    async def _has(self, topic: str) -> bool:
        return topic in await describe_topics(self._connection, [topic])

    async def _record(self, place: Place) -> tuple[Record | None, str | None]:
        """The record, or why it cannot be had any more.

        Raises:
            NotFound: there never was one.
        """
        where, offset = place
        if not await self._has(where.topic):
            raise NotFound(f"There is no topic {where.topic}.")
        held = await held_offsets(self._connection, where.topic)
        if where not in held:
            raise NotFound(
                f"{where.topic} has no partition {where.number}; it has {len(held)}, from 0 on."
            )
        first, end = held[where].start, held[where].stop
        if offset >= end:
            raise NotFound(f"{place} is not there yet: {where} ends before offset {end}.")
        if offset < first:
            return None, f"{place} is gone: {where} begins at offset {first}."
        async with aclosing(
            read_ranges(self._connection, {where: range(offset, offset + 1)})
        ) as records:
            async for record in records:
                return record, None
        return None, (
            f"{place} holds no record: it was compacted away, was never committed, or is the mark"
            " of a transaction."
        )

    async def _committed(self, place: Place) -> int | None:
        where = place.partition
        async with self._connection.connecting():
            offsets = await committed_offsets(self._connection, where.topic, self._group_id)
        return {partition: committed for partition, committed, _ in offsets}.get(where)

    async def _search(self, search: Search, since_ms: int | None) -> _Ranges:
        """Look through the output topics from a time on; returns what lies before."""
        meant: _Ranges = {}
        rest: _Ranges = {}
        for topic in self._outputs:
            late = await held_offsets(self._connection, topic, since_ms=since_ms)
            meant |= late
            if since_ms is not None:
                held = await held_offsets(self._connection, topic)
                rest |= {p: range(held[p].start, late[p].start) for p in late if p in held}
        await self._read(search, meant)
        return rest

    async def _read(self, search: Search, ranges: _Ranges) -> None:
        done, total = 0, sum(map(len, ranges.values()))

        def passed(offsets: int) -> None:
            nonlocal done
            done += offsets
            self._progress(done, total)

        async for record in read_ranges(self._connection, ranges, passed=passed):
            if record.partition.topic == self._verdict_topic:
                search.see_verdict(record)
            else:
                search.see_dead_letter(record)


def _source(record: Record | None, place: Place) -> Place:
    """What an outcome is of.

    Raises:
        NotFound: this is none.
    """
    letter = read_letter(record) if record else None
    if letter is not None:
        return Place(Partition(letter.topic, letter.partition), letter.offset)
    published = read_published(record) if record else None
    if published is None:
        raise NotFound(f"{place} is neither a verdict nor a dead letter.")
    return published.source
