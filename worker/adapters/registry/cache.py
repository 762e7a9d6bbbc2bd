"""The schemas that were fetched: kept, fetched once at a time, and waited for."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from weakref import WeakValueDictionary

from worker.adapters.registry.compiling import Schema
from worker.adapters.registry.errors import RegistryUnavailable, SchemaMissing, SchemaUnusable
from worker.adapters.registry.frames import SchemaKey
from worker.domain.errors import NotAnEvent
from worker.domain.ports import Clock

logger = logging.getLogger(__name__)

_REQUESTS_AT_ONCE = 8
# a schema that was missing or not valid is asked for again after this time
_REFUSAL_SECONDS = 30.0
# a replica of a registry learns of a new schema after its producer did
_CONFIRM_MISSING_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 15.0
_LOG_EVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Entry:
    """A schema, or why it cannot be used and until when this is believed."""

    schema: Schema | None
    refusal: str = ""
    until: float = float("inf")


class SchemaCache:
    """Schemas by key; the least recently used leave first.

    Args:
        fetch: one attempt to get a schema.
        url: the registry's, for messages.
        size: how many are kept beyond those of the latest request.
        clock: time.
        uniform: random numbers in [0, 1), for the jitter of the pauses.
    """

    def __init__(
        self,
        fetch: Callable[[SchemaKey], Awaitable[Schema]],
        *,
        url: str,
        size: int,
        clock: Clock,
        uniform: Callable[[], float],
    ) -> None:
        self._fetch = fetch
        self._url = url
        self._size = size
        self._clock = clock
        self._uniform = uniform
        self._entries: OrderedDict[SchemaKey, _Entry] = OrderedDict()
        self._locks: WeakValueDictionary[SchemaKey, asyncio.Lock] = WeakValueDictionary()
        self._requests = asyncio.Semaphore(_REQUESTS_AT_ONCE)
        self._troubles: dict[SchemaKey, str] = {}
        self._logged_at: float | None = None

    def trouble(self) -> str | None:
        """Why schemas are being waited for; None if none are."""
        return next(iter(self._troubles.values()), None)

    async def ensure(self, keys: Collection[SchemaKey]) -> None:
        """Wait until each of these schemas is here, or is known to be missing or unusable."""
        # while one is fetched, another load may push out one that was here
        while wanted := [key for key in keys if not self._is_fresh(key)]:
            async with asyncio.TaskGroup() as group:
                for key in wanted:
                    group.create_task(self._fetch_once(key))
        for key in keys:
            self._entries.move_to_end(key)
        while len(self._entries) > max(self._size, len(keys)):
            self._entries.popitem(last=False)

    def get(self, key: SchemaKey) -> Schema:
        """A schema that was ensured.

        Raises:
            NotAnEvent: it is missing or unusable.
        """
        entry = self._entries[key]
        if entry.schema is None:
            raise NotAnEvent(entry.refusal)
        return entry.schema

    def _is_fresh(self, key: SchemaKey) -> bool:
        entry = self._entries.get(key)
        return entry is not None and self._clock.monotonic() < entry.until

    async def _fetch_once(self, key: SchemaKey) -> None:
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            if self._is_fresh(key):  # another load fetched it meanwhile
                return
            try:
                # an entry that is too old stays until it is replaced: it may be about to be read
                self._entries[key] = await self._retry(key)
            finally:
                self._troubles.pop(key, None)
        self._log_recovery()

    async def _retry(self, key: SchemaKey) -> _Entry:
        failures = 0
        is_confirmed = False
        while True:
            try:
                async with self._requests:
                    return _Entry(await self._fetch(key))
            except RegistryUnavailable as error:
                failures += 1
                self._report(key, str(error))
                await self._clock.sleep(self._pause_seconds(failures))
            except SchemaUnusable as error:
                if isinstance(error, SchemaMissing) and not is_confirmed:
                    is_confirmed = True
                    await self._clock.sleep(_CONFIRM_MISSING_SECONDS)
                    continue
                until = self._clock.monotonic() + _REFUSAL_SECONDS
                return _Entry(None, f"{str(key).capitalize()} {error}.", until)

    def _pause_seconds(self, failures: int) -> float:
        bound = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 30))
        return self._uniform() * bound

    def _report(self, key: SchemaKey, reason: str) -> None:
        self._troubles[key] = (
            f"Records wait for {key}. The schema registry {self._url} is not available: {reason}."
        )
        now = self._clock.monotonic()
        if self._logged_at is None or now - self._logged_at >= _LOG_EVERY_SECONDS:
            self._logged_at = now
            logger.warning("%s", self._troubles[key])

    def _log_recovery(self) -> None:
        if self._logged_at is not None and not self._troubles:
            self._logged_at = None
            logger.info("The schema registry %s answers.", self._url)
