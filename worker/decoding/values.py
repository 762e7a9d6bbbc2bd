"""Reading of values: the bytes of a record as JSON data."""

from collections.abc import Sequence
from typing import Any, Protocol

from worker.decoding.framing import Framing, unframe
from worker.decoding.json_values import parse_json
from worker.domain.errors import NotAnEvent
from worker.domain.records import Record


class ValueReader(Protocol):
    """Reads the values of records."""

    async def load(self, records: Sequence[Record]) -> None:
        """Fetch what is needed to read these records; waits as long as that is unavailable."""
        ...

    def trouble(self) -> str | None:
        """What records wait for at the moment, and why; None if they do not wait."""
        ...

    def read(self, record: Record) -> Any:
        """The value as data: dicts, lists, strings, numbers, booleans, None.

        Raises:
            NotAnEvent: it cannot be read.
        """
        ...


class JsonReader:
    """Reads JSON, which needs nothing else.

    Args:
        framing: the frame before the JSON.
    """

    def __init__(self, framing: Framing = "none") -> None:
        self._framing: Framing = framing

    async def load(self, records: Sequence[Record]) -> None:
        """Nothing to fetch."""

    def trouble(self) -> str | None:
        """Nothing is waited for."""
        return None

    def read(self, record: Record) -> Any:
        """The JSON of a value.

        Raises:
            NotAnEvent: it is not JSON, or has another frame.
        """
        if record.unreadable:
            raise NotAnEvent(record.unreadable)
        value = record.value or b""
        if self._framing != "none":
            value = unframe(value, self._framing, dict(record.headers))
        return parse_json(value)
