"""Idempotent producers, on aiokafka.

After a failure that is not passing, an idempotent producer fails on that partition with
OutOfOrderSequenceNumber each time (aiokafka 0.14), so a producer that failed once is closed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError
from typing_extensions import override

from worker.adapters.kafka.connection import Connection, require_topics
from worker.adapters.kafka.failures import (
    is_too_large,
    last_error,
    not_written,
    remember_errors,
)
from worker.adapters.kafka.limits import Limits
from worker.domain.errors import BusUnavailable, NotWritten, Retriable
from worker.domain.ports import Publisher
from worker.domain.records import OutgoingRecord

logger = logging.getLogger(__name__)

_STOP_SECONDS = 10.0
# an idempotent producer tries without end; longer than a partition needs for a new leader
_ACKNOWLEDGED_WITHIN_SECONDS = 20.0


class KafkaPublisher(Publisher):
    """Calls that run at the same time have a producer each.

    Args:
        topics: all that is written to.
        uncompacted: those of them that must not be compacted.
    """

    def __init__(
        self, connection: Connection, *, topics: Sequence[str], uncompacted: Sequence[str] = ()
    ) -> None:
        self._connection = connection
        self._names = tuple(topics)
        self._uncompacted = tuple(uncompacted)
        self._limits = Limits(connection)
        # producers that no call uses, each with the version of the limits that it was made for
        self._idle: list[tuple[int, AIOKafkaProducer]] = []

    @override
    async def start(self) -> None:
        self._limits.begin(
            await require_topics(self._connection, self._names, uncompacted=self._uncompacted)
        )
        self._idle.append((self._limits.version, await self._connect()))

    async def _connect(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._connection.arguments(),
            enable_idempotence=True,
            max_batch_size=self._limits.largest_batch,
            max_request_size=self._limits.largest_request,
            linger_ms=2,
        )
        remember_errors(producer)
        async with self._connection.connecting():
            try:
                async with asyncio.timeout(2 * _STOP_SECONDS):
                    await producer.start()
            except BaseException:
                await abandon(producer)
                raise
        return producer

    @override
    async def publish(self, records: Sequence[OutgoingRecord]) -> list[NotWritten | None]:
        await self._limits.renew()
        version = self._limits.version
        try:
            producer = await self._borrow(version)
        except BusUnavailable as error:
            raise Retriable(str(error)) from error
        try:
            results = await send_all(producer, records)
        except BaseException:
            await abandon(producer)
            raise
        failures = [
            not_written(record.topic, result) if isinstance(result, BaseException) else None
            for record, result in zip(records, results, strict=True)
        ]
        if any(failures):
            await abandon(producer)
        else:
            self._idle.append((version, producer))
        return failures

    async def _borrow(self, version: int) -> AIOKafkaProducer:
        while self._idle:
            made_for, producer = self._idle.pop()
            if made_for == version:
                return producer
            await close(producer)
        return await self._connect()

    async def publish_all(self, records: Sequence[OutgoingRecord]) -> None:
        """Produce all of these, for programs that do so once.

        Raises:
            Retriable: at least one was not acknowledged.
        """
        failures = [failure for failure in await self.publish(records) if failure]
        if failures:
            raise Retriable(
                f"{len(failures)} of {len(records)} records were not acknowledged. {failures[0]}"
            )

    @override
    def max_bytes(self, topic: str) -> int:
        return self._limits.max_bytes(topic)

    @override
    async def too_large(self, topic: str, size_bytes: int | None = None) -> None:
        if size_bytes is None:
            await self._limits.batch_too_large(topic)
        else:
            await self._limits.record_too_large(topic, size_bytes)

    @override
    async def stop(self) -> None:
        while self._idle:
            _, producer = self._idle.pop()
            await close(producer)


async def send_all(
    producer: AIOKafkaProducer, records: Sequence[OutgoingRecord]
) -> list[object | BaseException]:
    """Send in order, and await every delivery; for each record its metadata or its failure."""
    results: dict[int, object | BaseException] = {}
    pending: dict[int, asyncio.Future[object]] = {}
    for number, record in enumerate(records):
        try:
            sending: Awaitable[object] = await producer.send(
                record.topic,
                key=record.key,
                value=record.value,
                partition=record.partition,
                headers=list(record.headers),
            )
        except KafkaError as error:
            if is_too_large(error):  # by the client's own bound: the next may be smaller
                results[number] = error
                continue
            results |= dict.fromkeys(range(number, len(records)), error)
            break
        pending[number] = asyncio.ensure_future(sending)
    if pending:
        await asyncio.wait(pending.values(), timeout=_ACKNOWLEDGED_WITHIN_SECONDS)
    for number, future in pending.items():
        results[number] = _result(producer, records[number].topic, future)
    return [results[number] for number in range(len(records))]


def _result(
    producer: AIOKafkaProducer, topic: str, future: asyncio.Future[object]
) -> object | BaseException:
    if not future.done():
        future.cancel()
        return last_error(producer, topic) or KafkaTimeoutError()
    return future.exception() or future.result()


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


async def abandon(producer: AIOKafkaProducer) -> None:
    """Stop a producer without waiting for what it has not delivered: another one sends that."""
    producer._closed = True  # noqa: SLF001 - its own stop would flush first, without end
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await producer._sender.close()  # noqa: SLF001
    except (TimeoutError, KafkaError) as error:
        logger.warning("Closing a producer failed (%s).", type(error).__name__)
    finally:
        async with asyncio.timeout(_STOP_SECONDS):
            await producer.client.close()
