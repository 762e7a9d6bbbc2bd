"""Finds records and their outcomes, by reading topics without a consumer group."""

import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from worker.adapters.kafka.connection import Connection, describe_topics
from worker.adapters.kafka.reader import committed_offsets, held_offsets, read_ranges
from worker.domain.errors import GuardstreamError
from worker.domain.records import Partition, Record
from worker.operator.inspect.inspection import (
    Place,
    RecordHistory,
    Search,
    read_place,
    read_published,
)
from worker.operator.redrive.redriving import read_dead_letter

# the clocks of the producer of a record and of the worker can differ
_CLOCKS_DIFFER_MS = 60_000

Progress = Callable[[int, int], None]
_Ranges = dict[Partition, range]
# bounds the work for an id that many events share
_MOST_RECORDS = 20


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The records that were found, the oldest outcome first.

    Attributes:
        left_out: the number of older records that were not read.
    """

    histories: list[RecordHistory]
    left_out: int = 0


class NotFound(GuardstreamError):  # noqa: N818
    """No record or outcome has this id or position."""


class Explorer:
    """Searches the topics of one worker.

    Args:
        group_id: the consumer group whose committed offsets are shown.
        since_ms: Unix milliseconds; older outcomes are not searched. With None, the search starts
            at the oldest possible outcome.
        progress: called with the number of offsets of the output topics that were read, and their
            total.
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

    async def find(self, where: str) -> SearchResult:
        """Find records by a position, as `topic/partition@offset`, or by the id of an event.

        A position in a topic that does not exist is read as an id.

        Raises:
            NotFound: there is no such record.
            BusUnavailable: the brokers or the topics are missing.
        """
        place = read_place(where)
        if place is None:
            return await self.find_event(where)
        if await self._has(place.partition.topic):
            return SearchResult([await self.find_place(place)])
        try:
            return await self.find_event(where)
        except NotFound as error:
            raise NotFound(f"There is no topic {place.partition.topic}. {error}") from None

    async def find_place(self, place: Place) -> RecordHistory:
        """The history of the record at a position; for the position of an outcome, of its source.

        Raises:
            NotFound: neither the record nor an outcome exists.
            BusUnavailable: the brokers or the topics are missing.
        """
        record, missing = await self._record(place)
        if place.partition.topic in self._outputs:
            source = _source(record, place)
            if source.partition.topic in self._outputs:
                raise NotFound(f"The source of {place} is {source}, which is an outcome too.")
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
                # an outcome was committed: the time of the record may be wrong, so search all
                await self._read(search, rest if self._since_ms is None else {})
        found = RecordHistory(place, record, missing, committed, search.outcomes(place))
        if record is None and not found.outcomes:
            raise NotFound(f"{missing} There is no outcome of it in {self._searched()} either.")
        return found

    async def find_event(self, event_id: str) -> SearchResult:
        """The history of the records whose outcomes have this event id.

        Raises:
            NotFound: there is no such outcome.
            BusUnavailable: the brokers or the topics are missing.
        """
        search = Search(event_id)
        await self._search(search, self._since_ms)
        if not search.sources:
            raise NotFound(
                f"No verdict or dead letter in {self._searched()} has this event id; to find a"
                " record that was not judged, give its position as topic/partition@offset."
            )
        shown = search.sources[-_MOST_RECORDS:]
        return SearchResult(
            [await self._found_by(search, place) for place in shown],
            left_out=len(search.sources) - len(shown),
        )

    async def _found_by(self, search: Search, place: Place) -> RecordHistory:
        outcomes = search.outcomes(place)
        try:
            record, missing = await self._record(place)
        except NotFound as error:
            # its topic was recreated or deleted
            return RecordHistory(place, None, str(error), None, outcomes)
        return RecordHistory(place, record, missing, await self._committed(place), outcomes)

    @property
    def _outputs(self) -> tuple[str, str]:
        return self._verdict_topic, self._dead_letter_topic

    def _searched(self) -> str:
        since = "" if self._since_ms is None else " since the time given"
        return f"{self._verdict_topic} and {self._dead_letter_topic}{since}"

    async def _has(self, topic: str) -> bool:
        return topic in await describe_topics(self._connection, [topic])

    async def _record(self, place: Place) -> tuple[Record | None, str | None]:
        """The record, or why it is no longer available.

        Raises:
            NotFound: there was no such record.
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
            raise NotFound(f"{place} does not exist yet: {where} ends before offset {end}.")
        if offset < first:
            return None, f"{place} is gone: {where} begins at offset {first}."
        async with aclosing(
            read_ranges(self._connection, {where: range(offset, offset + 1)})
        ) as records:
            async for record in records:
                return record, None
        return None, (
            f"{place} has no record: it was removed by compaction, its transaction was aborted, or"
            " it is a transaction marker."
        )

    async def _committed(self, place: Place) -> int | None:
        where = place.partition
        async with self._connection.connecting():
            offsets = await committed_offsets(self._connection, where.topic, self._group_id)
        return {partition: committed for partition, committed, _ in offsets}.get(where)

    async def _search(self, search: Search, since_ms: int | None) -> _Ranges:
        """Search the output topics from a time on; returns the ranges before it."""
        recent: _Ranges = {}
        rest: _Ranges = {}
        for topic in self._outputs:
            late = await held_offsets(self._connection, topic, since_ms=since_ms)
            recent |= late
            if since_ms is not None:
                held = await held_offsets(self._connection, topic)
                rest |= {p: range(held[p].start, late[p].start) for p in late if p in held}
        await self._read(search, recent)
        return rest

    async def _read(self, search: Search, ranges: _Ranges) -> None:
        done, total = 0, sum(map(len, ranges.values()))

        def passed(offsets: int) -> None:
            nonlocal done
            done += offsets
            self._progress(done, total)

        async for record in read_ranges(self._connection, ranges, passed=passed):
            if record.partition.topic == self._verdict_topic:
                search.add_verdict(record)
            else:
                search.add_dead_letter(record)


def _source(record: Record | None, place: Place) -> Place:
    """The position of the record that an outcome belongs to.

    Raises:
        NotFound: this is not an outcome.
    """
    dead_letter = read_dead_letter(record) if record else None
    if dead_letter is not None:
        return Place(Partition(dead_letter.topic, dead_letter.partition), dead_letter.offset)
    published = read_published(record) if record else None
    if published is None:
        raise NotFound(f"{place} is neither a verdict nor a dead letter.")
    return published.source
