"""An idempotent producer, on aiokafka.

After a failure that is not passing, an idempotent producer answers OutOfOrderSequenceNumber for
ever on that partition (aiokafka 0.14), so a producer that failed once is thrown away.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from worker.adapters.kafka.connection import Connection, Topic, require_topics
from worker.errors import BusUnavailable, Retriable
from worker.records import OutgoingRecord

logger = logging.getLogger(__name__)

_STOP_SECONDS = 10.0


class KafkaPublisher:
    """Implements `worker.ports.Publisher`; only one task may publish at a time."""

    def __init__(self, connection: Connection, *, topics: Sequence[str]) -> None:
        self._connection = connection
        self._names = tuple(topics)
        self._topics: dict[str, Topic] = {}
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """See `Publisher`."""
        self._topics = await require_topics(self._connection, self._names)
        await self._connect()

    async def _connect(self) -> AIOKafkaProducer:
        largest = max(topic.max_bytes for topic in self._topics.values())
        producer = AIOKafkaProducer(
            **self._connection.arguments(),
            enable_idempotence=True,
            max_batch_size=256 * 1024,
            max_request_size=largest + 64 * 1024,
            linger_ms=2,
        )
        async with self._connection.connecting():
            async with asyncio.timeout(2 * _STOP_SECONDS):
                await producer.start()
        self._producer = producer
        return producer

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[bool]:
        """See `Publisher`."""
        try:
            producer = self._producer or await self._connect()
        except BusUnavailable as error:
            raise Retriable(str(error)) from error
        results = await send_all(producer, records)
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            logger.warning("Producing failed (%s).", type(failures[0]).__name__)
            self._producer = None
            await close(producer)
        return [not isinstance(result, BaseException) for result in results]

    async def publish_all(self, records: Sequence[OutgoingRecord]) -> None:
        """Produce all of these, for programs that do so once.

        Raises:
            Retriable: at least one was not acknowledged.
        """
        acknowledged = await self.publish(records)
        if not all(acknowledged):
            raise Retriable(
                f"{acknowledged.count(False)} of {len(records)} records were not acknowledged."
            )

    def max_bytes(self, topic: str) -> int:
        """See `Publisher`."""
        return self._topics[topic].max_bytes

    async def stop(self) -> None:
        """See `Publisher`."""
        if self._producer is not None:
            await close(self._producer)


async def send_all(
    producer: AIOKafkaProducer, records: Sequence[OutgoingRecord]
) -> list[object | BaseException]:
    """Send in order, and await every delivery; for each record its metadata or its failure."""
    pending: list[Awaitable[object]] = []
    failure: KafkaError | None = None
    for record in records:
        try:
            pending.append(
                await producer.send(
                    record.topic,
                    key=record.key,
                    value=record.value,
                    partition=record.partition,
                    headers=list(record.headers),
                )
            )
        except KafkaError as error:
            failure = error
            break
    results: list[object | BaseException] = list(
        await asyncio.gather(*pending, return_exceptions=True)
    )
    return results + [failure] * (len(records) - len(results))


async def close(producer: AIOKafkaProducer) -> None:
    """Stop a producer, within a bounded time: with brokers gone its own stop never ends."""
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await producer.stop()
    except (TimeoutError, KafkaError) as error:
        logger.warning("Closing a producer failed (%s).", type(error).__name__)
        # it gave up before its connections
        async with asyncio.timeout(_STOP_SECONDS):
            await producer.client.close()
