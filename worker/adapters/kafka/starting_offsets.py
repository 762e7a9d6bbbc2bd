"""Where a group continues in a partition: its committed offset, or what replaces it.

A commit that was there before and is missing now is not taken for a group without commits: that
would read the topic again from its start, or skip what is unread.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from worker.adapters.kafka.committed import fetch_committed
from worker.adapters.kafka.topic_partitions import to_kafka
from worker.domain.errors import OffsetLost, Retriable
from worker.domain.poison import BEGINS, PoisonMark
from worker.domain.records import CommittedOffset, Partition

logger = logging.getLogger(__name__)

End = Literal["earliest", "latest"]
_CALL_SECONDS = 10.0
# how often a commit that was there before may be missing from a believed answer
_MISSING_ANSWERS = 3


class StartingOffsets:
    """Remembers what was committed, and what was decided where nothing was.

    Args:
        consumer: a member of the group, once it is started.
        start_from: where a group without committed offsets begins.
        on_offset_lost: where to continue when a committed offset is gone; None makes that fatal.
    """

    def __init__(
        self,
        consumer: Callable[[], AIOKafkaConsumer],
        *,
        group_id: str,
        start_from: End,
        on_offset_lost: End | None,
    ) -> None:
        self._consumer = consumer
        self._group_id = group_id
        self._start_from: End = start_from
        self._on_offset_lost = on_offset_lost
        self._latest: dict[str, Mapping[TopicPartition, int]] = {}
        self._overtaken: set[Partition] = set()
        # the last committed offset that was seen, and how often it was missing since
        self._seen: dict[Partition, int] = {}
        self._missing: Counter[Partition] = Counter()

    async def locate(self, partition: Partition) -> CommittedOffset:
        """Where the group continues.

        Raises:
            Retriable: it could not be loaded.
            OffsetLost: the commit is gone, and no setting defines where to continue.
        """
        found = (await self._fetch_committed([partition]))[partition]
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                if partition in self._overtaken and self._on_offset_lost is not None:
                    ends = await fetch_ends(self._consumer(), [partition], self._on_offset_lost)
                    return CommittedOffset(ends[to_kafka(partition)])
                if found is None:
                    return CommittedOffset(await self._beginning_of(partition), BEGINS)
                return found
        except (KafkaError, TimeoutError) as error:
            raise Retriable(
                f"Where {partition} begins could not be loaded ({type(error).__name__})."
            ) from error

    def note_seek(self, partition: Partition, offset: int) -> None:
        """An owner has sought this offset, which it commits as well."""
        self._overtaken.discard(partition)
        self._seen[partition] = offset

    def note_commits(self, offsets: Mapping[Partition, CommittedOffset]) -> None:
        """These were committed."""
        self._seen.update({p: committed.offset for p, committed in offsets.items()})

    def note_overtaken(self, partitions: Collection[Partition]) -> None:
        """Retention has overtaken the committed offsets of these: the setting applies."""
        self._overtaken.update(partitions)

    async def _fetch_committed(
        self, partitions: Collection[Partition]
    ) -> Mapping[Partition, CommittedOffset | None]:
        """What the group has committed of these: no other request reads it.

        Raises:
            Retriable: the coordinator did not answer without an error, or a commit is missing
                that was there before.
            OffsetLost: it is still missing, and no setting defines where to continue.
        """
        found = await fetch_committed(
            self._consumer(), self._group_id, partitions, seconds=_CALL_SECONDS
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
            Retriable: it must be fetched again.
            OffsetLost: it was asked for often enough, and no setting defines where to continue.
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
        hold records already that no other group member reads. What was decided stays so, or a
        rebalance before the first commit would pass over records.
        """
        topic = partition.topic
        consumer = self._consumer()
        if self._start_from == "latest" and topic not in self._latest:
            numbers = consumer.partitions_for_topic(topic) or set()
            if partition.number not in numbers:
                # an error in the metadata makes the client forget the topic for a while
                raise Retriable(f"The partitions of {topic} are not known at the moment.")
            partitions = [Partition(topic, number) for number in numbers]
            # other workers may begin at the same time
            is_new = all(
                committed is None or PoisonMark.decode(committed.metadata).begins
                for committed in (await self._fetch_committed(partitions)).values()
            )
            self._latest[topic] = await fetch_ends(consumer, partitions, "latest") if is_new else {}
        name = to_kafka(partition)
        latest = self._latest.get(topic, {})
        if name in latest:
            return latest[name]
        return (await fetch_ends(consumer, [partition], "earliest"))[name]


async def fetch_ends(
    consumer: AIOKafkaConsumer, partitions: Collection[Partition], end: End
) -> Mapping[TopicPartition, int]:
    """The first or the last offset of each of these partitions.

    Raises:
        Retriable: Kafka does not report one of them.
    """
    fetch = consumer.beginning_offsets if end == "earliest" else consumer.end_offsets
    offsets: Mapping[TopicPartition, int] = await fetch([to_kafka(p) for p in partitions])
    if left_out := [p for p in partitions if offsets.get(to_kafka(p), -1) < 0]:
        # aiokafka leaves out what the response leaves out, and passes on an offset of -1
        raise Retriable(f"Kafka does not report the {end} offset of {left_out[0]}.")
    return offsets
