"""The judging of records that may have ended workers: each with nothing else in the process.

See `worker.domain.poison` for how the suspects are narrowed down.
"""

import logging
from typing import TYPE_CHECKING

from worker.delivery.base import Delivery
from worker.domain.errors import PoisonRecord
from worker.domain.ports import Clock
from worker.flow.admission import Admission
from worker.flow.processing import Processor
from worker.flow.scheduler import Scheduler

if TYPE_CHECKING:
    from worker.domain.records import Partition

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


class Suspects:
    """Judges one suspect at a time."""

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        admission: Admission,
        delivery: Delivery,
        processor: Processor,
        clock: Clock,
    ) -> None:
        self._scheduler = scheduler
        self._admission = admission
        self._delivery = delivery
        self._processor = processor
        self._clock = clock
        self._unmarked: Partition | None = None

    async def judge_next(self) -> bool:
        """Judge one suspect alone; False if there is none to judge."""
        suspects = self._scheduler.suspects()
        if not suspects or self._scheduler.is_stopped():
            return False
        # a partition whose mark could not be written goes after the others
        partition = min(suspects, key=lambda p: p == self._unmarked)
        window, self._unmarked = suspects[partition], None
        if window.is_condemned:
            for record in self._scheduler.take_one(partition):
                error = PoisonRecord(
                    f"{window.deaths} workers ended while judging this record, the last ones with"
                    " it alone."
                )
                await self._processor.refuse(record, error, self._clock.now())
            return self._admission.is_open
        await self._admission.until_idle()
        if self._scheduler.is_stopped() or not self._admission.is_open:
            return False
        if not await self._delivery.suspect(partition, begins=True):
            # it may have been written all the same
            await self._delivery.suspect(partition, begins=False)
            self._unmarked = partition
            await self._clock.sleep(_RETRY_SECONDS)
            return True
        taken = self._scheduler.take_one(partition)
        if not taken:
            await self._delivery.suspect(partition, begins=False)
        for record in taken:
            logger.info("Judging %s alone: workers ended while judging it or its group.", record)
            await self._processor.admit_alone(record)
            await self._admission.until_idle()
            await self._delivery.settle([partition])
        return True
