"""Transactional producers, on aiokafka.

Two ways in which the client would lose records (measured on aiokafka 0.14), and what follows: a
commit succeeds though a produced batch failed, if its delivery was not awaited, so every delivery
is awaited before the commit; and after an abortable error the abort never reaches the broker, so
that the next commit would cover what came before, so a transactor is closed once it has failed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    ProducerFenced,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from aiokafka.structs import OffsetAndMetadata
from typing_extensions import override

from worker.adapters.kafka.connection import Connection, require_topics
from worker.adapters.kafka.failures import UNAUTHORIZED, not_written, remember_errors
from worker.adapters.kafka.limits import Limits
from worker.adapters.kafka.publisher import close, send_all
from worker.adapters.kafka.topic_partitions import to_kafka
from worker.domain.errors import BusUnavailable, NotWritten, Retriable
from worker.domain.ports import Transactions, Transactor
from worker.domain.records import CommittedOffset, OutgoingRecord, Partition


@dataclass(frozen=True, slots=True)
class KafkaTransactor(Transactor):
    """A transactional producer that is started.

    Attributes:
        assumed: the limits of the topics when it was opened: no record is made for higher ones.
    """

    producer: AIOKafkaProducer
    group_id: str | None
    timeout_seconds: float
    limits: Limits
    assumed: Mapping[str, int]

    @override
    async def commit(
        self, records: Sequence[OutgoingRecord], offsets: Mapping[Partition, CommittedOffset]
    ) -> None:
        theirs = {to_kafka(p): OffsetAndMetadata(*committed) for p, committed in offsets.items()}
        await self.limits.renew()
        try:
            # after its timeout the broker aborts a transaction: waiting longer changes nothing
            async with asyncio.timeout(self.timeout_seconds):
                await self.producer.begin_transaction()
                await _send(self.producer, records)
                if theirs:
                    await self.producer.send_offsets_to_transaction(theirs, self.group_id)
                await self.producer.commit_transaction()
        except NotWritten as failure:
            failure.limit = self.assumed[failure.topic]
            raise
        except UNAUTHORIZED as error:
            if (topic := _unwritable(error, records)) is not None:
                raise not_written(topic, error) from error
            raise _refused(error) from error
        except ProducerFenced as error:
            raise Retriable("Another worker took over.") from error
        except Exception as error:
            # any kind: in an unforeseen state the client fails its own assertions
            raise Retriable(f"A transaction failed ({type(error).__name__}).") from error

    @override
    async def close(self) -> None:
        await close(self.producer)


class KafkaTransactions(Transactions):
    """Starts transactional producers.

    Args:
        topics: all that is written to, or its largest records would not fit.
        uncompacted: those of them that must not be compacted.
        group_id: whose offsets are committed; None where there are none.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        topics: Sequence[str],
        uncompacted: Sequence[str] = (),
        group_id: str | None = None,
        timeout_seconds: float,
    ) -> None:
        self._connection = connection
        self._names = tuple(topics)
        self._group_id = group_id
        self._timeout_seconds = timeout_seconds
        self._uncompacted = tuple(uncompacted)
        self._limits = Limits(connection)

    @override
    async def start(self) -> None:
        self._limits.begin(
            await require_topics(self._connection, self._names, uncompacted=self._uncompacted)
        )

    @override
    async def open(self, transactional_id: str) -> KafkaTransactor:
        assumed = self._limits.snapshot()
        try:
            arguments = self._connection.arguments()
        except BusUnavailable as error:
            # files were there at the start: they may be about to be replaced
            raise Retriable(str(error)) from error
        producer = AIOKafkaProducer(
            **arguments,
            transactional_id=transactional_id,
            transaction_timeout_ms=int(self._timeout_seconds * 1000),
            max_batch_size=self._limits.largest_batch,
            max_request_size=self._limits.largest_request,
        )
        remember_errors(producer)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await producer.start()
        except BaseException as error:
            await close(producer)
            if isinstance(error, TransactionalIdAuthorizationFailed):
                raise BusUnavailable(
                    f"Kafka refuses the transactional id {transactional_id}; grant Write on it,"
                    " or on a prefix of it that others share."
                ) from error
            if isinstance(error, UNAUTHORIZED):
                raise _refused(error) from error
            if isinstance(error, KafkaError | OSError | TimeoutError):
                raise Retriable(
                    f"A producer could not be started ({type(error).__name__})."
                ) from error
            raise
        return KafkaTransactor(
            producer, self._group_id, self._timeout_seconds, self._limits, assumed
        )

    @override
    def max_bytes(self, topic: str) -> int:
        return self._limits.max_bytes(topic)

    @override
    async def too_large(self, topic: str, limit: int) -> None:
        await self._limits.one_too_large(topic, limit)


async def _send(producer: AIOKafkaProducer, records: Sequence[OutgoingRecord]) -> None:
    failures: list[NotWritten] = []
    results = await send_all(producer, records)
    for record, result in zip(records, results, strict=True):
        if isinstance(result, (ProducerFenced, *UNAUTHORIZED)):
            raise result
        if isinstance(result, BaseException):
            failures.append(not_written(record.topic, result))
    if failures:
        # what follows a refused batch fails for another reason, which explains nothing
        raise next((failure for failure in failures if failure.kind != "passing"), failures[0])


def _unwritable(error: KafkaError, records: Sequence[OutgoingRecord]) -> str | None:
    """The topic of these records that the worker may not write to, if the error names one."""
    if not isinstance(error, TopicAuthorizationFailedError) or not error.args:
        return None
    named = error.args[0]
    refused = {named} if isinstance(named, str) else set(named)
    return next((record.topic for record in records if record.topic in refused), None)


def _refused(error: KafkaError) -> BusUnavailable:
    return BusUnavailable(
        f"Kafka refuses a transaction ({type(error).__name__}); grant the rights to write the"
        " output topics, to use the transactional ids and to commit for the group."
    )
