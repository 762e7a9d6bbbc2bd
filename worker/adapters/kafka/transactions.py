"""Transactional producers, on aiokafka.

Two ways in which the client would lose records (measured on aiokafka 0.14), and what follows: a
commit succeeds though a produced batch failed, if nobody awaited its delivery, so every delivery
is awaited before the commit; and after an abortable error the abort never reaches the broker, so
that the next commit would cover what came before, so a transactor is used no more once it failed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    ProducerFenced,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from aiokafka.structs import OffsetAndMetadata

from worker.adapters.kafka.connection import Connection, Topic, require_topics
from worker.adapters.kafka.publisher import close, send_all
from worker.errors import BusUnavailable, Retriable
from worker.records import CommittedOffset, OutgoingRecord, Partition

_REFUSED = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)


@dataclass(frozen=True, slots=True)
class KafkaTransactor:
    """Implements `worker.ports.Transactor`."""

    producer: AIOKafkaProducer
    group_id: str | None
    timeout_seconds: float

    async def commit(
        self, records: Sequence[OutgoingRecord], offsets: Mapping[Partition, CommittedOffset]
    ) -> None:
        """See `Transactor`."""
        theirs = {
            TopicPartition(p.topic, p.number): OffsetAndMetadata(*committed)
            for p, committed in offsets.items()
        }
        try:
            # beyond its timeout the broker aborts a transaction, so nobody need wait longer
            async with asyncio.timeout(self.timeout_seconds):
                await self.producer.begin_transaction()
                await _send(self.producer, records)
                if theirs:
                    await self.producer.send_offsets_to_transaction(theirs, self.group_id)
                await self.producer.commit_transaction()
        except _REFUSED as error:
            raise _refused(error) from error
        except ProducerFenced as error:
            raise Retriable("Another worker took over.") from error
        except Exception as error:
            # any kind: in an unforeseen state the client fails its own assertions
            raise Retriable(f"A transaction failed ({type(error).__name__}).") from error

    async def close(self) -> None:
        """See `Transactor`."""
        await close(self.producer)


class KafkaTransactions:
    """Implements `worker.ports.Transactions`.

    Args:
        topics: all that is written to, or its largest records would not fit.
        group_id: whose offsets are committed; None where there are none.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        topics: Sequence[str],
        group_id: str | None = None,
        timeout_seconds: float,
    ) -> None:
        self._connection = connection
        self._names = tuple(topics)
        self._group_id = group_id
        self._timeout_seconds = timeout_seconds
        self._topics: dict[str, Topic] = {}

    async def start(self) -> None:
        """See `Transactions`."""
        self._topics = await require_topics(self._connection, self._names)

    async def open(self, transactional_id: str) -> KafkaTransactor:
        """See `Transactions`."""
        largest = max(topic.max_bytes for topic in self._topics.values())
        try:
            arguments = self._connection.arguments()
        except BusUnavailable as error:
            # files were there at the start: they may be being replaced
            raise Retriable(str(error)) from error
        producer = AIOKafkaProducer(
            **arguments,
            transactional_id=transactional_id,
            transaction_timeout_ms=int(self._timeout_seconds * 1000),
            max_batch_size=256 * 1024,
            max_request_size=largest + 64 * 1024,
        )
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await producer.start()
        except BaseException as error:
            await close(producer)
            if isinstance(error, TransactionalIdAuthorizationFailed):
                raise BusUnavailable(
                    f"Kafka refuses us the transactional id {transactional_id}; grant Write on it,"
                    " or on a prefix of it that others share."
                ) from error
            if isinstance(error, _REFUSED):
                raise _refused(error) from error
            if isinstance(error, KafkaError | OSError | TimeoutError):
                raise Retriable(f"No producer could be had ({type(error).__name__}).") from error
            raise
        return KafkaTransactor(producer, self._group_id, self._timeout_seconds)

    def max_bytes(self, topic: str) -> int:
        """See `Transactions`."""
        return self._topics[topic].max_bytes


async def _send(producer: AIOKafkaProducer, records: Sequence[OutgoingRecord]) -> None:
    for result in await send_all(producer, records):
        if isinstance(result, BaseException):
            raise result


def _refused(error: KafkaError) -> BusUnavailable:
    return BusUnavailable(
        f"Kafka refuses a transaction ({type(error).__name__}); grant the rights to write the"
        " output topics, to use the transactional ids and to commit for the group."
    )
