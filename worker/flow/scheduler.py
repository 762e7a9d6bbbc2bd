"""Which of the queued records are begun next: what admission and the suspect windows allow."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker.delivery.base import Delivery
from worker.delivery.suspect_window import SuspectWindow
from worker.domain.records import Partition, Record
from worker.flow.admission import Admission
from worker.flow.ownership import Ownership
from worker.flow.partition_queues import PartitionQueues
from worker.telemetry import Telemetry


class Scheduler:
    """Takes records out of their queues, one partition after the other.

    From the time that a record is taken, the death of the process may be its fault: its partition's
    window notes it as begun.

    Attributes:
        killed: whether the worker ends over a record that was begun.
    """

    def __init__(
        self,
        *,
        queues: PartitionQueues,
        ownership: Ownership,
        admission: Admission,
        delivery: Delivery,
        telemetry: Telemetry,
    ) -> None:
        self._queues = queues
        self._ownership = ownership
        self._admission = admission
        self._delivery = delivery
        self._telemetry = telemetry
        self._stopped = False
        self.killed = False

    def stop(self) -> None:
        """Begin no more records."""
        self._stopped = True

    def is_stopped(self) -> bool:
        """Whether no more records are begun."""
        return self._stopped

    @contextmanager
    def counting_deaths(self) -> Iterator[None]:
        """Around the work on records: what ends the worker here may be a record's fault."""
        try:
            yield
        except asyncio.CancelledError:
            raise
        except BaseException:
            self.killed = True
            self.stop()  # no other record may be taken for the cause
            raise

    def take(self, limit: int) -> list[Record]:
        """Begin up to so many records, of all partitions that may have more."""
        limits = self._admission.limits()

        def room(partition: Partition) -> int:
            window = self._delivery.window(partition)
            # what is not ours is taken, and dropped
            most = limit if window is None else window.room
            return min(most, limits.get(partition, most))

        return self._take(limit, room)

    def take_one(self, partition: Partition) -> list[Record]:
        """Begin the next record of a partition, if there is one."""
        return self._take(1, lambda p: int(p == partition))

    def suspects(self) -> dict[Partition, SuspectWindow]:
        """The partitions whose next record must be begun with nothing else in the process."""
        return {
            partition: window
            for partition in self._queues.waiting()
            if (window := self._delivery.window(partition)) is not None and window.wants_alone
        }

    def _take(self, limit: int, room: Callable[[Partition], int]) -> list[Record]:
        if self._stopped or not len(self._queues) or not self._admission.is_open:
            return []
        records: list[Record] = []
        # all records of a chunk can be of an earlier epoch
        while not records and (taken := self._queues.take(limit, room)):
            records = [record for record in taken if self._ownership.is_ours(record)]
        for record in records:
            self._admission.take(record)
            if (window := self._delivery.window(record.partition)) is not None:
                window.begin(record.offset)
        self._telemetry.taken(records)
        return records
