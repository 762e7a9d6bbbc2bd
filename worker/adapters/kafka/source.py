"""A member of a consumer group, on aiokafka.

What shapes it (measured on aiokafka 0.14): `getmany` must be called without pause and never be
cancelled while the worker lives; records of a new assignment can arrive while the callback still
runs, so partitions are paused first, and resumed by the owner that has sought them; exceptions in
callbacks are only logged, so they are kept for the next `receive`; a commit loops for as long as
brokers are down, so it is bounded.

`asyncio.timeout` bounds calls in all of these adapters, and never `asyncio.wait_for`: up to Python
3.11 that one swallows a cancellation that comes together with the answer, and a task that runs for
ever, cancelled once, would then keep a worker from ending.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Literal

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
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

from worker.adapters.kafka.committed import fetch_committed
from worker.adapters.kafka.connection import Connection, describe_topics, require_topics
from worker.adapters.kafka.consumer import build_consumer, stop_consumer
from worker.adapters.kafka.lenient_records import unreadable
from worker.adapters.kafka.membership import InstanceFenced
from worker.adapters.kafka.receiving import Receiver
from worker.domain.errors import BusUnavailable, Fatal, InstanceReplaced, OffsetLost, Retriable
from worker.domain.poison import BEGINS, PoisonMark
from worker.domain.ports import AssignmentListener
from worker.domain.records import CommittedOffset, Partition, Record

logger = logging.getLogger(__name__)

End = Literal["earliest", "latest"]
_CALL_SECONDS = 10.0
_POSITION_SECONDS = 1.0
_POLL_MS = 200
_METADATA_SECONDS = 30.0
# how often a commit that was there before may be missing from a believed answer
_MISSING_ANSWERS = 3
_FAILED_COMMITS = 3


class KafkaSource:
    """Implements the port `Source`.

    Args:
        start_from: where a group without committed offsets begins.
        on_offset_lost: where to go on when retention has overtaken the committed offset; None
            makes that fatal.
        group_instance_id: makes this a static member, who is not missed while it restarts within
            the session timeout (KIP-345); no two workers may share one.
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
        self._start_from: End = start_from
        self._on_offset_lost = on_offset_lost
        self._group_instance_id = group_instance_id
        self._session_timeout_seconds = session_timeout_seconds
        self._rebalance_timeout_seconds = rebalance_timeout_seconds
        self._listener: AssignmentListener | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._failure: Exception | None = None
        self._latest: dict[str, Mapping[TopicPartition, int]] = {}
        self._overtaken: set[Partition] = set()
        # the last committed offset that was seen, and how often it was missing since
        self._seen: dict[Partition, int] = {}
        self._missing: Counter[Partition] = Counter()
        # what follows the last record that `receive` gave away
        self._next: dict[TopicPartition, int] = {}
        self._watched_at = time.monotonic()
        self._receiver = Receiver(self._take_back)
        self._failed_commits = 0
        self._commit_failure = ""

    async def start(self, listener: AssignmentListener) -> None:
        """See `Source`."""
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
            # what to do without an offset is decided in `locate`, where it can be told apart
            auto_offset_reset="none",
            isolation_level=self._isolation_level,
            fetch_max_wait_ms=50,
            max_partition_fetch_bytes=256 * 1024,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=session_ms // 4,
            rebalance_timeout_ms=int(self._rebalance_timeout_seconds * 1000),
            # how soon added partitions and deleted topics are seen
            metadata_max_age_ms=int(_METADATA_SECONDS * 1000),
        )
        self._consumer.subscribe(self._topics, listener=_Rebalances(self, listener))
        async with self._connection.connecting():
            # it returns with the first assignment, so others may settle theirs meanwhile
            async with asyncio.timeout(self._rebalance_timeout_seconds + _CALL_SECONDS):
                try:
                    await self._consumer.start()
                except (InstanceFenced, InconsistentGroupProtocolError) as error:
                    raise self._refused(error) from error

    async def receive(self) -> Sequence[tuple[Partition, Record]]:
        """See `Source`."""
        if self._failure is not None:
            raise self._failure
        self._watch_membership()
        await self._watch_topics()
        try:
            batches = await self._receiver.poll(self._joined)
        except OffsetOutOfRangeError as error:
            # the exception's first argument maps partitions to the offsets that are gone
            await self._offsets_lost([_partition(p) for p in error.args[0]])
            return []
        except NoOffsetForPartitionError:
            await asyncio.sleep(_POLL_MS / 1000)  # its owner is about to seek
            return []
        except (InstanceFenced, InconsistentGroupProtocolError) as error:
            raise self._refused(error) from error
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
            where = _partition(partition)
            for r in records:
                headers = tuple(r.headers)
                record = Record(
                    *(where, 0, r.offset, r.key, r.value, headers, r.timestamp, received_at),
                    unreadable(r),
                )
                arrived.append((where, record))
        return arrived

    def _refused(self, error: KafkaError) -> Fatal:
        if isinstance(error, InconsistentGroupProtocolError):
            return BusUnavailable(
                f"Group {self._group_id} has members with another assignment strategy; name another"
                " group in input.group_id, or stop them."
            )
        return InstanceReplaced(
            f"Another worker has joined group {self._group_id} as {self._group_instance_id}; give"
            " each worker a unique input.group_instance_id."
        )

    def _take_back(self) -> None:
        """Go back to what follows the last record that was given away.

        When a partition's records are damaged, aiokafka drops what the same call had taken from
        others, after it moved their positions: a commit would pass over those records.
        """
        reading = self._joined.assignment() - self._joined.paused()
        for partition in reading.intersection(self._next):
            self._joined.seek(partition, self._next[partition])

    async def locate(self, partition: Partition) -> CommittedOffset:
        """See `Source`."""
        theirs = _theirs(partition)
        found = (await self._fetch_committed([partition]))[partition]
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                if partition in self._overtaken and self._on_offset_lost is not None:
                    offset = (await self._ends([partition], self._on_offset_lost))[theirs]
                    return CommittedOffset(offset)
                if found is None:
                    return CommittedOffset(await self._beginning_of(partition), BEGINS)
                return found
        except (KafkaError, TimeoutError) as error:
            raise Retriable(
                f"Where {partition} begins could not be loaded ({type(error).__name__})."
            ) from error

    def seek(self, partition: Partition, offset: int) -> None:
        """See `Source`."""
        theirs = _theirs(partition)
        try:
            self._joined.seek(theirs, offset)
        except IllegalStateError as error:
            raise Retriable(f"{partition} was assigned to another worker.") from error
        self._overtaken.discard(partition)
        self._next[theirs] = offset
        # every owner commits where it begins
        self._seen[partition] = offset

    def pause(self, partitions: Collection[Partition]) -> None:
        """See `Source`."""
        self._joined.pause(*self._held(partitions))

    def resume(self, partitions: Collection[Partition]) -> None:
        """See `Source`."""
        self._joined.resume(*self._held(partitions))

    async def position(self, partition: Partition) -> int | None:
        """See `Source`."""
        try:
            async with asyncio.timeout(_POSITION_SECONDS):
                return int(await self._joined.position(_theirs(partition)))
        except (IllegalStateError, TimeoutError, KafkaError):
            return None

    async def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """See `Source`."""
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                ends = await self._ends(partitions, "latest")
        except (KafkaError, TimeoutError) as error:
            raise Retriable(
                f"The end offsets could not be read ({type(error).__name__})."
            ) from error
        return {_partition(theirs): offset for theirs, offset in ends.items()}

    def unstable(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """See `Source`."""
        if self._isolation_level == "read_uncommitted":
            return {}
        found = {}
        for theirs in self._held(partitions):
            high = self._joined.highwater(theirs)
            stable = self._joined.last_stable_offset(theirs)
            if high is not None and stable is not None and stable >= 0:
                found[_partition(theirs)] = max(high - stable, 0)
        return found

    async def commit(self, offsets: Mapping[Partition, CommittedOffset]) -> None:
        """See `Source`."""
        wanted = {_theirs(p): OffsetAndMetadata(*committed) for p, committed in offsets.items()}
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                await self._joined.commit(wanted)
        except (KafkaError, TimeoutError) as error:
            self._failed_commits += 1
            self._commit_failure = type(error).__name__
            raise Retriable(
                f"Offsets were not committed ({type(error).__name__}); they come with the next."
            ) from error
        self._seen.update({p: committed.offset for p, committed in offsets.items()})
        self._failed_commits = 0

    def trouble(self) -> str | None:
        """See `Source`."""
        if self._failed_commits >= _FAILED_COMMITS:
            return (
                f"Offsets of group {self._group_id} could not be committed"
                f" {self._failed_commits} times in a row ({self._commit_failure})."
            )
        return self._receiver.trouble()

    async def stop(self) -> None:
        """See `Source`."""
        if self._consumer is not None:
            await stop_consumer(self._consumer)

    @property
    def _joined(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise BusUnavailable("The consumer was not started.")
        return self._consumer

    @property
    def _is_evicted(self) -> bool:
        """Whether the group went on without us: it may have given our partitions away already.

        aiokafka tells a revocation either way; it forgets its generation when it was evicted.
        """
        generation: int = self._joined._coordinator.generation  # noqa: SLF001
        return generation < 0

    def _held(self, partitions: Collection[Partition]) -> list[TopicPartition]:
        assignment = self._joined.assignment()
        return [p for p in map(_theirs, partitions) if p in assignment]

    async def _fetch_committed(
        self, partitions: Collection[Partition]
    ) -> Mapping[Partition, CommittedOffset | None]:
        """What the group has committed of these: all that the source knows of it comes from here.

        Raises:
            Retriable: The coordinator did not say so without an error, or a commit is missing
                that was there before.
            OffsetLost: It is still missing, and nothing says where to go on.
        """
        found = await fetch_committed(
            self._joined, self._group_id, partitions, seconds=_CALL_SECONDS
        )
        for partition, committed in found.items():
            if committed is not None:
                self._seen[partition] = committed.offset
                del self._missing[partition]
            elif partition in self._seen and partition not in self._overtaken:
                self._note_missing(partition)
        return found

    def _note_missing(self, partition: Partition) -> None:
        """Do not take a partition whose commit is gone for one that never had a commit.

        Raises:
            Retriable: It is to be asked for again.
            OffsetLost: It was asked for often enough, and nothing says where to go on.
        """
        self._missing[partition] += 1
        gone = f"The committed offset of {partition}, last seen at {self._seen[partition]}, is gone"
        if self._missing[partition] <= _MISSING_ANSWERS:
            raise Retriable(f"{gone} from the group.")
        if self._on_offset_lost is None:
            raise OffsetLost(
                f"{gone} from the group: it expired, or it was deleted; set the group's offset, or"
                " set input.on_offset_lost to continue anyway."
            )
        logger.error("%s; going on at %s.", gone, self._on_offset_lost)
        self._overtaken.add(partition)

    async def _beginning_of(self, partition: Partition) -> int:
        """The offset at which a partition without a committed one begins.

        At the latest only if it was there when the group was new: one that was added since may
        hold records already, and they are nobody's if not ours. What was decided stays so, or
        a rebalance before the first commit would pass over records.
        """
        topic = partition.topic
        if self._start_from == "latest" and topic not in self._latest:
            numbers = self._joined.partitions_for_topic(topic) or set()
            if partition.number not in numbers:
                # an error in the metadata makes the client forget the topic for a while
                raise Retriable(f"The partitions of {topic} are not known at the moment.")
            theirs = [Partition(topic, number) for number in numbers]
            # other workers may begin at the same time
            is_new = all(
                committed is None or PoisonMark.decode(committed.metadata).begins
                for committed in (await self._fetch_committed(theirs)).values()
            )
            self._latest[topic] = await self._ends(theirs, "latest") if is_new else {}
        latest = self._latest.get(topic, {})
        if _theirs(partition) in latest:
            return latest[_theirs(partition)]
        return (await self._ends([partition], "earliest"))[_theirs(partition)]

    def _watch_membership(self) -> None:
        """Stop when the client's group membership has ended by a defect: it never begins again.

        Raises:
            BusUnavailable: it has; what the brokers refuse is raised where records are taken.
        """
        task = self._joined._coordinator._coordination_task  # noqa: SLF001
        if not task.done() or task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, KafkaError):
            raise BusUnavailable(
                f"The membership in group {self._group_id} ended by {type(error).__name__}; the"
                " worker must restart. If it comes again, look for a member of another kind."
            ) from error

    async def _watch_topics(self) -> None:
        """Stop when an input topic is gone: the client alone would wait for it for ever.

        Raises:
            BusUnavailable: a broker says that it is gone.
        """
        now = time.monotonic()
        if now - self._watched_at < _METADATA_SECONDS:
            return
        self._watched_at = now
        if all(self._joined.partitions_for_topic(topic) for topic in self._topics):
            return
        try:
            known = await describe_topics(self._connection, self._topics)
        except BusUnavailable:
            return  # brokers that cannot be asked do not say that it is gone
        if missing := sorted(set(self._topics) - set(known)):
            raise BusUnavailable(
                f"The input topic {', '.join(missing)} was deleted; create it, or name another in"
                " input.topics."
            )

    async def _offsets_lost(self, lost: Collection[Partition]) -> None:
        # it may have been revoked since: then it is another worker's affair
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
        # taken over anew: in a topic that was made anew, offsets begin again too
        self._overtaken.update(partitions)
        self.pause(partitions)
        assert self._listener is not None, "who receives has started"  # noqa: S101
        await self._listener.lost(partitions)
        await self._listener.assigned(self._ours(partitions))

    def _ours(self, partitions: Collection[Partition]) -> list[Partition]:
        return [_partition(theirs) for theirs in self._held(partitions)]

    async def _ends(
        self, partitions: Collection[Partition], end: End
    ) -> Mapping[TopicPartition, int]:
        ask = self._joined.beginning_offsets if end == "earliest" else self._joined.end_offsets
        offsets: Mapping[TopicPartition, int] = await ask([_theirs(p) for p in partitions])
        if left_out := [p for p in partitions if offsets.get(_theirs(p), -1) < 0]:
            # aiokafka leaves out what the response leaves out, and passes on an offset of -1
            raise Retriable(f"Kafka does not report the {end} offset of {left_out[0]}.")
        return offsets


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, source: KafkaSource, listener: AssignmentListener) -> None:
        self._source = source
        self._listener = listener

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._source._joined.pause(*assigned)  # noqa: SLF001 - one class in two parts
        # with no partition left nothing is ever committed, nor fails to be
        self._source._failed_commits = 0  # noqa: SLF001
        await self._tell(self._listener.assigned, assigned)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        if revoked:
            lost = self._source._is_evicted  # noqa: SLF001
            await self._tell(self._listener.lost if lost else self._listener.revoked, revoked)

    async def _tell(
        self,
        listener: Callable[[Collection[Partition]], Awaitable[None]],
        theirs: Collection[TopicPartition],
    ) -> None:
        try:
            await listener([_partition(partition) for partition in theirs])
        except Fatal as error:
            self._source._failure = error  # noqa: SLF001
        except Exception as error:  # noqa: BLE001 - aiokafka would only log it
            self._source._failure = BusUnavailable(  # noqa: SLF001
                f"A rebalance failed ({type(error).__name__}: {error}); the worker must restart."
            )


def _partition(theirs: TopicPartition) -> Partition:
    return Partition(theirs.topic, theirs.partition)


def _theirs(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number)
