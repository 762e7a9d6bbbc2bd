"""Decoding of a record into its exchanges, the same in the worker and in every command."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal, NamedTuple

from worker.decoding.conversation import read_every_exchange
from worker.decoding.events import event_of, read_event, unwrap_cloudevent
from worker.decoding.mapping import EventMapping
from worker.decoding.selection import Selection
from worker.decoding.values import JsonReader, ValueReader
from worker.domain.dead_letters import DELIVERED_BEFORE
from worker.domain.errors import NotAnEvent, RecordError
from worker.domain.events import Event, Exchange, Skip, judged_exchange
from worker.domain.exchange_numbers import EXCHANGES, read_ranges
from worker.domain.records import Record

Judged = Literal["last", "every"]
# each is rendered and tokenised at once
MAX_EXCHANGES = 1000


class Decoded(NamedTuple):
    """An exchange to be judged.

    Attributes:
        number: which exchange of its record, from 0; None where a record holds only one.
    """

    number: int | None
    event: Event
    exchange: Exchange


class Refused(NamedTuple):
    """An exchange that cannot be judged, and why."""

    number: int | None
    error: RecordError


class Decoding(NamedTuple):
    """What a record holds.

    Attributes:
        exchanges: in the order of the record.
        skipped: for each exchange that is neither judged nor refused, why.
    """

    exchanges: Sequence[Decoded | Refused]
    skipped: Sequence[Skip] = ()


class EventDecoder:
    """Decodes records.

    Args:
        reader: reads values; JSON without a frame by default.
        mapping: from records of another shape; None for records that are events.
        judged: the last exchange of a conversation, or every one.
        selection: which exchanges are judged; all by default.
        max_exchanges: of one record; one that holds more is refused as a whole.
        context_turns: how many earlier turns become the context of an exchange.
    """

    def __init__(
        self,
        reader: ValueReader | None = None,
        mapping: EventMapping | None = None,
        judged: Judged = "last",
        selection: Selection | None = None,
        max_exchanges: int = MAX_EXCHANGES,
        context_turns: int = 0,
    ) -> None:
        self._reader = reader or JsonReader()
        self._mapping = mapping
        self._judged: Judged = judged
        self._selection = selection
        self._max_exchanges = max_exchanges
        self._context_turns = context_turns
        # where every exchange is read, each has its own context
        self._turns_of_last = context_turns if judged == "last" else 0
        self.has_several = judged == "every" or (mapping is not None and mapping.has_several)

    async def load(self, records: Sequence[Record]) -> None:
        """Fetch what is needed to decode these records; waits as long as that is unavailable."""
        await self._reader.load(records)

    def trouble(self) -> str | None:
        """What records wait for at the moment, and why; None if they do not wait."""
        return self._reader.trouble()

    def decode(self, record: Record) -> Decoding:
        """The exchanges of a record; never raises for what it contains."""
        if not self.has_several and self._mapping is None and self._selection is None:
            # the fast path for most records
            try:
                value = self._reader.read(record)
                event = read_event(value, _headers(record), self._turns_of_last)
                return Decoding((Decoded(None, event, judged_exchange(event)),))
            except RecordError as error:
                return Decoding((Refused(None, error),))
        return self._decode(record)

    def decode_one(self, record: Record) -> tuple[Event, Exchange]:
        """The event of a record that holds one exchange, or the first; and that exchange.

        Raises:
            RecordError: it cannot be judged.
        """
        decoding = self.decode(record)
        if not decoding.exchanges:
            raise NotAnEvent(f"Not an event: the record is skipped ({decoding.skipped[0]}).")
        first = decoding.exchanges[0]
        if isinstance(first, Refused):
            raise first.error
        return first.event, first.exchange

    def _decode(self, record: Record) -> Decoding:
        headers = _headers(record)
        wanted = None
        if self.has_several and DELIVERED_BEFORE in headers:
            wanted = read_ranges(headers.get(EXCHANGES))
        exchanges: list[Decoded | Refused] = []
        skipped: list[Skip] = []
        try:
            for number, found in enumerate(self._exchanges(record, headers)):
                if wanted is not None and number not in wanted:
                    continue
                chosen = self._chosen(found, record)
                if isinstance(chosen, Skip):
                    skipped.append(chosen)
                else:
                    exchanges.append(_numbered(number if self.has_several else None, chosen))
                if len(exchanges) > self._max_exchanges:
                    raise NotAnEvent(
                        f"The record holds more than {self._max_exchanges} exchanges: write fewer"
                        " into a record, or raise input.exchanges_per_record."
                    )
            if wanted is not None and not exchanges and not skipped:
                raise NotAnEvent(f"The header {EXCHANGES} names no exchange of the record.")
        except RecordError as error:
            # of the record as a whole
            return Decoding((Refused(None, error),))
        return Decoding(exchanges, skipped)

    def _exchanges(
        self, record: Record, headers: Mapping[str, bytes | None]
    ) -> Iterator[Event | RecordError | Skip]:
        """The exchanges of a record.

        Raises:
            NotAnEvent: the value cannot be read.
        """
        data = self._reader.read(record)
        if self._mapping is None:
            yield from self._turns(read_event(data, headers, self._turns_of_last))
            return
        data, attributes, _ = unwrap_cloudevent(data, headers)
        for mapped in self._mapping.read(data):
            if isinstance(mapped, RecordError | Skip):
                yield mapped
                continue
            try:
                if _is_missing(mapped.fields):
                    raise NotAnEvent(mapped.missing)
                event = event_of(mapped.fields, attributes, self._turns_of_last)
            except RecordError as error:
                yield error
            else:
                yield from self._turns(event)

    def _chosen(
        self, found: Event | RecordError | Skip, record: Record
    ) -> Event | RecordError | Skip:
        if self._selection is None or isinstance(found, Skip):
            return found
        return self._selection.choose(found, record)

    def _turns(self, event: Event) -> Iterator[Event | RecordError]:
        """The event, once for each of its exchanges that is judged."""
        if self._judged == "last" or event.messages is None:
            yield self._unless_redacted(event)
            return
        every = read_every_exchange(event.messages, event.response, self._context_turns)
        for n, found in enumerate(every):
            if isinstance(found, NotAnEvent):
                yield found
            else:
                own_id = None if event.id is None else f"{event.id}#{n}"
                yield self._unless_redacted(dataclasses.replace(event, id=own_id, judged=found))

    def _unless_redacted(self, event: Event) -> Event | RecordError:
        """The event; the reason for its refusal where placeholders stand in place of its texts."""
        mapping, judged = self._mapping, event.judged
        if mapping is None or not mapping.redacted_texts or not isinstance(judged, Exchange):
            return event
        texts = (judged.prompt, judged.response)
        if any(text is not None and text.strip() in mapping.redacted_texts for text in texts):
            return mapping.redaction()
        logged = takewhile(
            lambda turn: turn.text.strip() not in mapping.redacted_texts, reversed(judged.context)
        )
        event.judged = judged.with_newest(sum(1 for _ in logged))
        return event


def _numbered(number: int | None, found: Event | RecordError) -> Decoded | Refused:
    if isinstance(found, RecordError):
        return Refused(number, found)
    try:
        return Decoded(number, found, judged_exchange(found))
    except RecordError as error:
        return Refused(number, error)


def _is_missing(fields: Mapping[str, Any]) -> bool:
    messages = fields.get("messages")
    # expressions that join arrays give an empty one where they find nothing
    if messages is not None and messages != []:
        return False
    return fields.get("prompt") is None


def _headers(record: Record) -> dict[str, bytes | None]:
    return dict(record.headers)
