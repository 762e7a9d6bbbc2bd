"""The client's rebalance callbacks, passed on to the core."""

from collections.abc import Awaitable, Callable, Collection

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from worker.adapters.kafka.topic_partitions import from_kafka
from worker.domain.errors import BusUnavailable, Fatal
from worker.domain.ports import AssignmentListener
from worker.domain.records import Partition


class Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Pauses what is assigned, and reports it.

    Args:
        consumer: the member of the group, once it is started.
        assigned: called at each assignment, before the listener.

    Attributes:
        failure: what the listener raised; aiokafka would only log it.
    """

    def __init__(
        self,
        consumer: Callable[[], AIOKafkaConsumer],
        listener: AssignmentListener,
        assigned: Callable[[], None],
    ) -> None:
        self._consumer = consumer
        self._listener = listener
        self._assigned = assigned
        self.failure: Exception | None = None

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Pause them: their owners resume them."""
        self._consumer().pause(*assigned)
        self._assigned()
        await self._pass_on(self._listener.assigned, assigned)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Report them as revoked or as lost, which aiokafka does not distinguish."""
        if revoked:
            lost = self._is_evicted
            await self._pass_on(self._listener.lost if lost else self._listener.revoked, revoked)

    @property
    def _is_evicted(self) -> bool:
        """Whether the group may have assigned our partitions to other members already.

        aiokafka forgets its generation when it was evicted.
        """
        generation: int = self._consumer()._coordinator.generation  # noqa: SLF001
        return generation < 0

    async def _pass_on(
        self,
        listener: Callable[[Collection[Partition]], Awaitable[None]],
        partitions: Collection[TopicPartition],
    ) -> None:
        try:
            await listener([from_kafka(partition) for partition in partitions])
        except Fatal as error:
            self.failure = error
        except Exception as error:  # noqa: BLE001 - aiokafka would only log it
            self.failure = BusUnavailable(
                f"A rebalance failed ({type(error).__name__}: {error}); the worker must restart."
            )
