"""Notices what the client alone would wait for without end."""

import time
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from worker.adapters.kafka.connection import Connection, describe_topics
from worker.domain.errors import BusUnavailable

# how soon added partitions and deleted topics are noticed
METADATA_SECONDS = 30.0


class Watchdog:
    """Checks the consumer's group membership and its topics."""

    def __init__(self, connection: Connection, *, topics: Sequence[str], group_id: str) -> None:
        self._connection = connection
        self._topics = topics
        self._group_id = group_id
        self._checked_at = time.monotonic()

    async def check(self, consumer: AIOKafkaConsumer) -> None:
        """Return if the consumer can continue.

        Raises:
            BusUnavailable: its membership has ended by a defect, or a topic is gone.
        """
        self._check_membership(consumer)
        await self._check_topics(consumer)

    def _check_membership(self, consumer: AIOKafkaConsumer) -> None:
        """Stop when the membership's task has failed: the client never starts it again.

        What the brokers refuse is raised where records are received.
        """
        task = consumer._coordinator._coordination_task  # noqa: SLF001
        if not task.done() or task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, KafkaError):
            raise BusUnavailable(
                f"The membership in group {self._group_id} ended by {type(error).__name__}; the"
                " worker must restart. If it comes again, look for a member of another kind."
            ) from error

    async def _check_topics(self, consumer: AIOKafkaConsumer) -> None:
        """Stop when a broker says that an input topic is gone."""
        now = time.monotonic()
        if now - self._checked_at < METADATA_SECONDS:
            return
        self._checked_at = now
        if all(consumer.partitions_for_topic(topic) for topic in self._topics):
            return
        try:
            known = await describe_topics(self._connection, self._topics)
        except BusUnavailable:
            return  # brokers that do not answer do not say that it is gone
        if missing := sorted(set(self._topics) - set(known)):
            raise BusUnavailable(
                f"The input topic {', '.join(missing)} was deleted; create it, or name another in"
                " input.topics."
            )
