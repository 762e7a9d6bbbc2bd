"""Reads values by the schemas of a registry."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from worker.adapters.registry.cache import SchemaCache
from worker.adapters.registry.client import RegistryClient
from worker.adapters.registry.compiling import fetch_schema
from worker.adapters.registry.frames import Frame, read_frame
from worker.domain.errors import NotAnEvent
from worker.domain.ports import Clock
from worker.domain.records import Record


class RegistryReader:
    """Reads Avro, Protobuf and JSON, each by the schema that its frame names.

    Args:
        client: the registry.
        cache_schemas: how many schemas are kept.
        clock: time.
        uniform: random numbers in [0, 1), for the jitter of retries.
    """

    def __init__(
        self,
        client: RegistryClient,
        *,
        cache_schemas: int,
        clock: Clock,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._cache = SchemaCache(
            lambda key: fetch_schema(client, key),
            url=client.url,
            size=cache_schemas,
            clock=clock,
            uniform=uniform,
        )

    def trouble(self) -> str | None:
        """Why records wait for the registry, in a sentence; None if none do."""
        return self._cache.trouble()

    async def load(self, records: Sequence[Record]) -> None:
        """Fetch the schemas of these records; waits as long as the registry is unavailable."""
        keys = {frame.key for record in records if (frame := _try_frame(record)) is not None}
        await self._cache.ensure(keys)

    def read(self, record: Record) -> Any:
        """The value as data; its schema was loaded before.

        Raises:
            NotAnEvent: it has no frame, its schema is missing, or it is not of this schema.
        """
        frame = _frame(record)
        return self._cache.get(frame.key).decode(frame)


def _frame(record: Record) -> Frame:
    if record.unreadable:
        raise NotAnEvent(record.unreadable)
    return read_frame(record.value or b"", record.headers)


def _try_frame(record: Record) -> Frame | None:
    try:
        return _frame(record)
    except NotAnEvent:
        return None
