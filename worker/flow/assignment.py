"""What happens to partitions that are assigned, revoked or lost."""

import asyncio
import logging
from collections.abc import Callable, Collection

from typing_extensions import override

from worker.delivery.base import Delivery
from worker.domain.ports import AssignmentListener
from worker.domain.records import Partition
from worker.flow.admission import Admission
from worker.flow.ownership import Ownership
from worker.flow.partition_queues import PartitionQueues
from worker.telemetry import Telemetry

logger = logging.getLogger(__name__)


class Assignment(AssignmentListener):
    """Takes partitions over and gives them up, as the consumer group decides.

    Args:
        drain_seconds: what in-flight records get when partitions go or the worker stops.
    """

    def __init__(
        self,
        *,
        ownership: Ownership,
        delivery: Delivery,
        queues: PartitionQueues,
        admission: Admission,
        telemetry: Telemetry,
        drain_seconds: float,
    ) -> None:
        self._ownership = ownership
        self._delivery = delivery
        self._queues = queues
        self._admission = admission
        self._telemetry = telemetry
        self._drain_seconds = drain_seconds

    @override
    async def assigned(self, partitions: Collection[Partition]) -> None:
        if self._ownership.is_closed:
            return  # an owner that starts now would never be ended
        self._ownership.add(partitions)
        self._delivery.assigned(partitions)
        self._telemetry.rebalanced("assigned", len(partitions))
        logger.info("Assigned %d partitions.", len(partitions))

    @override
    async def revoked(self, partitions: Collection[Partition]) -> None:
        self._ownership.leave(partitions)
        self._queues.drop(partitions)
        epochs = {(p, e) for p in partitions if (e := self._ownership.epoch(p)) is not None}
        await self._drain(
            lambda: self._admission.admitted(epochs) + self._delivery.undelivered(partitions)
        )
        await self._delivery.release(partitions)
        await self._remove(partitions)
        self._telemetry.rebalanced("revoked", len(partitions))
        logger.info("Revoked %d partitions.", len(partitions))

    @override
    async def lost(self, partitions: Collection[Partition]) -> None:
        self._queues.drop(partitions)
        await self._remove(partitions)
        self._telemetry.rebalanced("lost", len(partitions))
        logger.warning(
            "Lost %d partitions: the group has assigned them to other workers.", len(partitions)
        )

    async def drain(self) -> None:
        """Finish what is in flight of all partitions, within the time allowed."""
        held = self._ownership.held
        await self._drain(lambda: self._admission.in_flight + self._delivery.undelivered(held))

    async def _remove(self, partitions: Collection[Partition]) -> None:
        await self._delivery.revoked(partitions)
        self._ownership.remove(partitions)

    async def _drain(self, in_flight: Callable[[], int]) -> None:
        try:
            async with asyncio.timeout(self._drain_seconds):
                await self._admission.until(lambda: in_flight() == 0)
        except TimeoutError:
            logger.warning(
                "%d records were still in flight after %.0f s; they will be judged again.",
                in_flight(),
                self._drain_seconds,
            )
