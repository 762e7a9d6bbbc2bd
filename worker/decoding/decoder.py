"""Decoding of a record into the judged exchange, the same in the worker and in every command."""

from worker.decoding.events import decode_event
from worker.decoding.framing import Framing, unframe
from worker.domain.errors import NotAnEvent
from worker.domain.events import Event, Exchange, judged_exchange
from worker.domain.records import Record


class EventDecoder:
    """Decodes records.

    Args:
        framing: the frame before the JSON of a value.
    """

    def __init__(self, framing: Framing = "none") -> None:
        self._framing: Framing = framing

    def decode(self, record: Record) -> tuple[Event, Exchange]:
        """The event of a record, and its judged exchange.

        Raises:
            NotAnEvent: the value cannot be read, or is not an event.
            NothingToJudge: the event has no request.
        """
        if record.unreadable:
            raise NotAnEvent(record.unreadable)
        headers = dict(record.headers)
        event = decode_event(unframe(record.value or b"", self._framing, headers), headers)
        return event, judged_exchange(event)
