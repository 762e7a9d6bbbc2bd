"""Polls a consumer so that a partition that cannot be read holds up no other.

aiokafka 0.14 raises what it finds in one partition's records out of `getmany`, without the
partition's name, and drops what the same call had taken from the others; in front of records that
stay unreadable it does so each time. Here, after such a failure, each partition is polled by itself
for a while: the others continue, and the one that fails is known, counted and reported.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    GroupAuthorizationFailedError,
    InconsistentGroupProtocolError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from worker.adapters.kafka.membership import InstanceFenced

logger = logging.getLogger(__name__)

Batches = Mapping[TopicPartition, list[Any]]
_POLL_SECONDS = 0.2
_IDLE_SECONDS = 0.05
_RETRY_SECONDS = 1.0
# each partition by itself for so long: an error needs a fetch before it shows again
_SUSPECT_SECONDS = 10.0
_TROUBLE_SECONDS = 15.0
# a batch can hold a million records, and all that is returned is worked on at once
_MOST_RECORDS = 500
_LOG_EVERY = 10
# these are the caller's: none means that records cannot be read
_PASSED_ON = (
    InstanceFenced,
    InconsistentGroupProtocolError,
    OffsetOutOfRangeError,
    NoOffsetForPartitionError,
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
)


@dataclass(slots=True)
class _Failure:
    """Consecutive failures of one partition, or of the consumer."""

    since: float
    last: float
    times: int = 0
    reason: str = ""


class Receiver:
    """Takes what a consumer has fetched.

    Args:
        take_back: seeks every partition to what follows the last record that was returned.
    """

    def __init__(
        self, take_back: Callable[[], None], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._take_back = take_back
        self._monotonic = monotonic
        self._failures: dict[TopicPartition | None, _Failure] = {}
        self._suspect_until = 0.0
        self._passed_on: Exception | None = None

    async def poll(self, consumer: AIOKafkaConsumer) -> Batches:
        """What has been fetched, or nothing after a short wait.

        Nothing is awaited between the move of a partition's position and the return, save in a
        rebalance, whose partitions are rewound before they are read.

        Raises:
            KafkaError: an offset that is gone, a right that is missing, or another member with
                the same instance id; never that something cannot be read.
        """
        if self._passed_on is not None:
            error, self._passed_on = self._passed_on, None
            raise error
        if self._monotonic() < self._suspect_until:
            return await self._poll_each(consumer)
        try:
            batches: Batches = await consumer.getmany(
                timeout_ms=int(_POLL_SECONDS * 1000), max_records=_MOST_RECORDS
            )
        except _PASSED_ON:
            raise
        except Exception as error:  # noqa: BLE001 - readers of records raise any kind
            self._take_back()
            self._note(None, error)
            await asyncio.sleep(_RETRY_SECONDS)
            return {}
        self._failures.clear()
        return batches

    def trouble(self) -> str | None:
        """What has kept failing for some time, if anything has."""
        now = self._monotonic()
        for where, failure in self._failures.items():
            if failure.last - failure.since >= _TROUBLE_SECONDS:
                name = "Kafka" if where is None else _name(where)
                return (
                    f"Receiving from {name} has failed for {now - failure.since:.0f} s,"
                    f" {failure.times} times in a row ({failure.reason})."
                )
        return None

    async def _poll_each(self, consumer: AIOKafkaConsumer) -> Batches:
        try:
            consumer._coordinator.check_errors()  # noqa: SLF001 - or one would look like a partition's
        except _PASSED_ON:
            raise
        except Exception as error:  # noqa: BLE001
            self._note(None, error)
            await asyncio.sleep(_RETRY_SECONDS)
            return {}
        if consumer._subscription.reassignment_in_progress:  # noqa: SLF001
            # a poll would wait for its end, and what others gave before that would come after it
            await asyncio.sleep(_IDLE_SECONDS)
            return {}
        batches: dict[TopicPartition, list[Any]] = {}
        now = self._monotonic()
        for partition in consumer.assignment() - consumer.paused():
            failure = self._failures.get(partition)
            if failure is not None and now - failure.last < _RETRY_SECONDS:
                continue
            try:
                # one by one: records before the failure would be dropped with it
                found = await self._take(consumer, partition, one_by_one=failure is not None)
            except _PASSED_ON as error:
                self._passed_on = error
                break
            if found:
                batches[partition] = found
        self._settle(now)
        if not batches:
            await asyncio.sleep(_IDLE_SECONDS)
        return batches

    async def _take(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, *, one_by_one: bool
    ) -> list[Any]:
        found: list[Any] = []
        try:
            while len(found) < _MOST_RECORDS:
                most = 1 if one_by_one else _MOST_RECORDS
                more = (await consumer.getmany(partition, max_records=most)).get(partition)
                if not more:
                    break
                found += more
        except _PASSED_ON as error:
            if not found:
                raise
            self._passed_on = error
        except Exception as error:  # noqa: BLE001
            self._note(partition, error)
        else:
            if found:
                self._failures.pop(partition, None)
        return found

    def _settle(self, now: float) -> None:
        """Forget what has not failed again, and poll all together when nothing is left."""
        for where, failure in list(self._failures.items()):
            if now - failure.last > _SUSPECT_SECONDS:
                del self._failures[where]
        if any(where is not None for where in self._failures):
            self._suspect_until = now + _SUSPECT_SECONDS

    def _note(self, where: TopicPartition | None, error: Exception) -> None:
        now = self._monotonic()
        self._suspect_until = now + _SUSPECT_SECONDS
        failure = self._failures.setdefault(where, _Failure(now, now))
        failure.last = now
        failure.times += 1
        failure.reason = _reason(error)
        if failure.times == 1 or failure.times % _LOG_EVERY == 0:
            logger.warning(
                "Receiving from %s failed, %d times in a row (%s); trying again.",
                "Kafka" if where is None else _name(where),
                failure.times,
                failure.reason,
            )


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}/{partition.partition}"


def _reason(error: Exception) -> str:
    name = type(error).__name__
    if isinstance(error, CorruptRecordException):
        return (
            f"{name}: its records are damaged; repair the partition's leader, or move the group's"
            " offset past them"
        )
    return name
