"""The largest record that each output topic takes, read from the brokers or learned from refusals.

`max.message.bytes` can change at any time, and without the right to describe configs it is not
known at all. So a limit is read again whenever a topic refuses something as too large, and a lower
one is assumed where what was read explains no refusal.
"""

import logging
import time
from collections.abc import Mapping

from worker.adapters.kafka.connection import Connection, Topic, describe_topics
from worker.domain.errors import BusUnavailable

logger = logging.getLogger(__name__)

# a batch is at most as large as its topic takes, or neighbours would be refused together
_MOST_BATCH_BYTES = 256 * 1024
# below this no record fits: a batch has a header of 61 bytes
_LEAST_BYTES = 128
_READ_AGAIN_SECONDS = 60.0


class Limits:
    """The largest records of one producer's topics.

    Attributes:
        version: changes whenever a limit does.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._read: dict[str, int] = {}
        self._known: dict[str, int] = {}
        self._at_start: dict[str, int] = {}
        self._most_batch_bytes = _MOST_BATCH_BYTES
        self._read_at = 0.0
        self.version = 0

    def begin(self, topics: Mapping[str, Topic]) -> None:
        """Take what was read of all topics at the start."""
        self._read = {name: topic.max_bytes for name, topic in topics.items()}
        self._known, self._at_start = dict(self._read), dict(self._read)

    def max_bytes(self, topic: str) -> int:
        """The largest record the topic takes, as far as is known."""
        return self._known[topic]

    def snapshot(self) -> dict[str, int]:
        """What all topics take, as far as is known now."""
        return dict(self._known)

    @property
    def largest_request(self) -> int:
        """What a client may send at once."""
        return max(*self._at_start.values(), *self._known.values()) + 64 * 1024

    @property
    def largest_batch(self) -> int:
        """What a client may gather into one batch."""
        return min(self._most_batch_bytes, *self._known.values())

    async def batch_too_large(self, topic: str) -> None:
        """A batch was refused, and perhaps no record of it alone would be."""
        before = self.version
        await self._read_again([topic])
        if self.version == before and self._most_batch_bytes > _LEAST_BYTES:
            self._most_batch_bytes = max(self.largest_batch // 2, _LEAST_BYTES)
            self.version += 1

    async def record_too_large(self, topic: str, size_bytes: int) -> None:
        """A record of this size was refused, alone."""
        await self._read_again([topic])
        if self._known[topic] >= size_bytes:
            self._assume(topic, size_bytes - 1)

    async def one_too_large(self, topic: str, limit: int) -> None:
        """One of several records was refused that this limit allows, or their batch was."""
        if self._known[topic] == limit:
            await self._read_again([topic])
        if self._known[topic] == limit:
            self._assume(topic, limit // 2)

    def _assume(self, topic: str, limit: int) -> None:
        if limit < _LEAST_BYTES:
            return
        logger.warning(
            "The topic %s refuses records that its limit of %d bytes allows: assuming %d.",
            topic,
            self._known[topic],
            limit,
        )
        self._set(topic, limit)

    async def renew(self) -> None:
        """Read limits again if they had been lowered and may have been restored."""
        lowered = [name for name, limit in self._known.items() if limit < self._at_start[name]]
        if lowered and time.monotonic() - self._read_at > _READ_AGAIN_SECONDS:
            await self._read_again(lowered)

    async def _read_again(self, names: list[str]) -> None:
        self._read_at = time.monotonic()
        try:
            found = await describe_topics(self._connection, names)
        except BusUnavailable as error:
            logger.warning("The limits of %s could not be read: %s", ", ".join(names), error)
            return
        for name, topic in found.items():
            # what was assumed stays while the brokers report the same as before
            if topic.max_bytes != self._read[name]:
                logger.info("The topic %s takes records of %d bytes now.", name, topic.max_bytes)
                self._read[name] = topic.max_bytes
                self._set(name, topic.max_bytes)

    def _set(self, topic: str, limit: int) -> None:
        self._known[topic] = limit
        self.version += 1
