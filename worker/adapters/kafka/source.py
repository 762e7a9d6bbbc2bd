"""A member of a consumer group, on aiokafka.

What shapes it (measured on aiokafka 0.14): `getmany` must be called without pause and never be
cancelled while the worker lives; records of a new assignment can arrive while the callback still
runs, so partitions are paused first, and resumed by the owner that has sought them; exceptions in
callbacks are only logged, so they are kept for the next `receive`; a commit loops for as long as
brokers are down, so it is bounded.

`asyncio.timeout` bounds calls in all of these adapters, and never `asyncio.wait_for`: up to Python
3.11 that one swallows a cancellation that comes together with the answer, and a task that loops,
cancelled once, would then keep a worker from ending.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IllegalStateError,
    InconsistentGroupProtocolError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import OffsetAndMetadata
from typing_extensions import override

from worker.adapters.kafka import watchdog
from worker.adapters.kafka.connection import Connection, require_topics
from worker.adapters.kafka.consumer import build_consumer, stop_consumer
from worker.adapters.kafka.lenient_records import unreadable
from worker.adapters.kafka.membership import InstanceFenced, refused_member
from worker.adapters.kafka.rebalances import Rebalances
from worker.adapters.kafka.receiving import Receiver
from worker.adapters.kafka.starting_offsets import End, StartingOffsets, fetch_ends
from worker.adapters.kafka.topic_partitions import from_kafka, to_kafka
from worker.domain.errors import BusUnavailable, OffsetLost, Retriable
from worker.domain.ports import AssignmentListener, Source
from worker.domain.records import CommittedOffset, Partition, Record

logger = logging.getLogger(__name__)

_CALL_SECONDS = 10.0
_POSITION_SECONDS = 1.0
_POLL_MS = 200
_FAILED_COMMITS = 3


class KafkaSource(Source):
    """A consumer that is a member of a group.

    Args:
        start_from: where a group without committed offsets begins.
        on_offset_lost: where to continue when retention has overtaken the committed offset; None
            makes that fatal.
        group_instance_id: makes this a static member, which keeps its partitions while it restarts
            within the session timeout (KIP-345); no two workers may share one.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        topics: Sequence[str],
        group_id: str,
        isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed",
        start_from: End = "earliest",
        on_offset_lost: End | None = None,
        group_instance_id: str | None = None,
        session_timeout_seconds: float = 10.0,
        rebalance_timeout_seconds: float = 60.0,
    ) -> None:
        self._connection = connection
        self._topics = tuple(topics)
        self._group_id = group_id
        self._isolation_level = isolation_level
        self._on_offset_lost = on_offset_lost
        self._group_instance_id = group_instance_id
        self._session_timeout_seconds = session_timeout_seconds
        self._rebalance_timeout_seconds = rebalance_timeout_seconds
        self._listener: AssignmentListener | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._rebalances: Rebalances | None = None
        self._offsets = StartingOffsets(
            lambda: self._joined,
            group_id=group_id,
            start_from=start_from,
            on_offset_lost=on_offset_lost,
        )
        self._watchdog = watchdog.Watchdog(connection, topics=self._topics, group_id=group_id)
        # what follows the last record that `receive` returned
        self._next: dict[TopicPartition, int] = {}
        self._receiver = Receiver(self._take_back)
        self._failed_commits = 0
        self._commit_failure = ""

    @override
    async def start(self, listener: AssignmentListener) -> None:
        self._listener = listener
        if "_crecords" not in DefaultRecordBatchBuilder.__module__:
            logger.warning(
                "aiokafka runs without its C extensions, which costs twenty times the CPU; install"
                " its wheel."
            )
        await require_topics(self._connection, self._topics)
        session_ms = int(self._session_timeout_seconds * 1000)
        self._consumer = build_consumer(
            **self._connection.arguments(),
            group_id=self._group_id,
            group_instance_id=self._group_instance_id,
            enable_auto_commit=False,
            # what to do without an offset is decided in `locate`, which knows why there is none
            auto_offset_reset="none",
            isolation_level=self._isolation_level,
            fetch_max_wait_ms=50,
            max_partition_fetch_bytes=256 * 1024,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=session_ms // 4,
            rebalance_timeout_ms=int(self._rebalance_timeout_seconds * 1000),
            metadata_max_age_ms=int(watchdog.METADATA_SECONDS * 1000),
        )
        self._rebalances = Rebalances(lambda: self._joined, listener, self._forget_failed_commits)
        self._consumer.subscribe(self._topics, listener=self._rebalances)
        async with self._connection.connecting():
            # it returns with the first assignment, so others may settle theirs meanwhile
            async with asyncio.timeout(self._rebalance_timeout_seconds + _CALL_SECONDS):
                try:
                    await self._consumer.start()
                except (InstanceFenced, InconsistentGroupProtocolError) as error:
                    raise refused_member(error, self._group_id, self._group_instance_id) from error

    @override
    async def receive(self) -> Sequence[tuple[Partition, Record]]:
        if self._rebalances is not None and self._rebalances.failure is not None:
            raise self._rebalances.failure
        await self._watchdog.check(self._joined)
        try:
            batches = await self._receiver.poll(self._joined)
        except OffsetOutOfRangeError as error:
            # the exception's first argument maps partitions to the offsets that are gone
            await self._offsets_lost([from_kafka(p) for p in error.args[0]])
            return []
        except NoOffsetForPartitionError:
            await asyncio.sleep(_POLL_MS / 1000)  # its owner is about to seek
            return []
        except (InstanceFenced, InconsistentGroupProtocolError) as error:
            raise refused_member(error, self._group_id, self._group_instance_id) from error
        except (TopicAuthorizationFailedError, GroupAuthorizationFailedError) as error:
            raise BusUnavailable(
                f"Kafka refuses to let group {self._group_id} read {', '.join(self._topics)}"
                f" ({type(error).__name__}); grant the rights."
            ) from error
        received_at = time.time()
        # nothing may be awaited from here on: the position has moved past these records
        arrived: list[tuple[Partition, Record]] = []
        for partition, records in batches.items():
            self._next[partition] = records[-1].offset + 1
            where = from_kafka(partition)
            for r in records:
                headers = tuple(r.headers)
                record = Record(
                    *(where, 0, r.offset, r.key, r.value, headers, r.timestamp, received_at),
                    unreadable(r),
                )
                arrived.append((where, record))
        return arrived

    def _take_back(self) -> None:
        """Go back to what follows the last record that was returned.

        When a partition's records are damaged, aiokafka drops what the same call had taken from
        others, after it moved their positions: a commit would pass over those records.
        """
        reading = self._joined.assignment() - self._joined.paused()
        for partition in reading.intersection(self._next):
            self._joined.seek(partition, self._next[partition])

    @override
    async def locate(self, partition: Partition) -> CommittedOffset:
        return await self._offsets.locate(partition)

    @override
    def seek(self, partition: Partition, offset: int) -> None:
        theirs = to_kafka(partition)
        try:
            self._joined.seek(theirs, offset)
        except IllegalStateError as error:
            raise Retriable(f"{partition} was assigned to another worker.") from error
        self._next[theirs] = offset
        self._offsets.note_seek(partition, offset)

    @override
    def pause(self, partitions: Collection[Partition]) -> None:
        self._joined.pause(*self._held(partitions))

    @override
    def resume(self, partitions: Collection[Partition]) -> None:
        self._joined.resume(*self._held(partitions))

    @override
    async def position(self, partition: Partition) -> int | None:
        try:
            async with asyncio.timeout(_POSITION_SECONDS):
                return int(await self._joined.position(to_kafka(partition)))
        except (IllegalStateError, TimeoutError, KafkaError):
            return None

    @override
    async def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                ends = await fetch_ends(self._joined, partitions, "latest")
        except (KafkaError, TimeoutError) as error:
            raise Retriable(
                f"The end offsets could not be loaded ({type(error).__name__})."
            ) from error
        return {from_kafka(theirs): offset for theirs, offset in ends.items()}

    @override
    def unstable(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        if self._isolation_level == "read_uncommitted":
            return {}
        found = {}
        for theirs in self._held(partitions):
            high = self._joined.highwater(theirs)
            stable = self._joined.last_stable_offset(theirs)
            if high is not None and stable is not None and stable >= 0:
                found[from_kafka(theirs)] = max(high - stable, 0)
        return found

    @override
    async def commit(self, offsets: Mapping[Partition, CommittedOffset]) -> None:
        wanted = {to_kafka(p): OffsetAndMetadata(*committed) for p, committed in offsets.items()}
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                await self._joined.commit(wanted)
        except (KafkaError, TimeoutError) as error:
            self._failed_commits += 1
            self._commit_failure = type(error).__name__
            raise Retriable(
                f"Offsets were not committed ({type(error).__name__}); they come with the next."
            ) from error
        self._offsets.note_commits(offsets)
        self._failed_commits = 0

    @override
    def trouble(self) -> str | None:
        if self._failed_commits >= _FAILED_COMMITS:
            return (
                f"Offsets of group {self._group_id} could not be committed"
                f" {self._failed_commits} times in a row ({self._commit_failure})."
            )
        return self._receiver.trouble()

    @override
    async def stop(self) -> None:
        if self._consumer is not None:
            await stop_consumer(self._consumer)

    @property
    def _joined(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise BusUnavailable("The consumer was not started.")
        return self._consumer

    def _held(self, partitions: Collection[Partition]) -> list[TopicPartition]:
        assignment = self._joined.assignment()
        return [p for p in map(to_kafka, partitions) if p in assignment]

    def _forget_failed_commits(self) -> None:
        # with no partition left there is no commit, so none can succeed
        self._failed_commits = 0

    async def _offsets_lost(self, lost: Collection[Partition]) -> None:
        # those that were revoked since are another worker's
        partitions = self._ours(lost)
        if not partitions:
            return
        names = ", ".join(map(str, partitions))
        if self._on_offset_lost is None:
            raise OffsetLost(
                f"The committed offset of {names} is gone from the topic, so records were lost"
                " before they were judged; set input.on_offset_lost to continue anyway."
            )
        logger.error("The offset of %s is gone; going on at %s.", names, self._on_offset_lost)
        # taken over again: in a topic that was created again, offsets begin again too
        self._offsets.note_overtaken(partitions)
        self.pause(partitions)
        assert self._listener is not None, "start() comes first"  # noqa: S101
        await self._listener.lost(partitions)
        await self._listener.assigned(self._ours(partitions))

    def _ours(self, partitions: Collection[Partition]) -> list[Partition]:
        return [from_kafka(theirs) for theirs in self._held(partitions)]
