"""What is measured at intervals: the loop's lateness, the engine's load, the lag and its work."""

import contextlib
import logging
from typing import TYPE_CHECKING

from worker.delivery.base import Delivery
from worker.domain.errors import Retriable
from worker.domain.ports import Clock, Source
from worker.flow.admission import Admission
from worker.flow.ownership import Ownership
from worker.flow.progress import Progress, Standing
from worker.flow.workload import Counts, Workload
from worker.telemetry import Telemetry, names
from worker.telemetry.partition_state import PartitionState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.domain.records import Partition

logger = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 1.0
_BEATS_BETWEEN_LAGS = 5


class LoadMonitor:
    """Measures once a second, until cancelled.

    Args:
        devices: GPUs that the engine runs on.
        stuck_seconds: how long a partition with lag may stand still before it is trouble.
    """

    def __init__(
        self,
        *,
        source: Source,
        delivery: Delivery,
        telemetry: Telemetry,
        clock: Clock,
        ownership: Ownership,
        admission: Admission,
        devices: int,
        stuck_seconds: float = 300.0,
    ) -> None:
        self._source = source
        self._delivery = delivery
        self._telemetry = telemetry
        self._clock = clock
        self._ownership = ownership
        self._admission = admission
        self._workload = Workload(devices)
        self._progress = Progress(stuck_seconds)
        self._ends: Mapping[Partition, int] = {}
        self._blocked: set[Partition] = set()

    def trouble(self) -> str | None:
        """The partition that has not moved for too long, if there is one."""
        return self._progress.trouble()

    async def run(self) -> None:
        """Measure until cancelled."""
        beats, reported = 0, 0.0
        while True:
            due = self._clock.monotonic() + _HEARTBEAT_SECONDS
            await self._clock.sleep(_HEARTBEAT_SECONDS)
            self._telemetry.set(names.LOOP_LAG, max(self._clock.monotonic() - due, 0.0))
            busy_seconds = self._admission.engine_time().busy_seconds
            self._telemetry.add(names.ENGINE_BUSY, busy_seconds - reported)
            reported = busy_seconds
            if beats % _BEATS_BETWEEN_LAGS == 0:
                await self._measure_lag()
            beats += 1

    async def _measure_lag(self) -> None:
        epochs = self._ownership.epochs()
        # one partition without a leader fails the call: what is known of the others stays true
        with contextlib.suppress(Retriable):
            self._ends = await self._source.ends(epochs)
        ends = self._ends
        unstable = self._source.unstable(epochs)
        states, standings = {}, {}
        for partition, epoch in epochs.items():
            if (end := ends.get(partition)) is not None:
                committed = self._delivery.committed(partition)
                behind = max(end - (committed or 0), 0)
                unsettled, _ = self._delivery.backlog(partition)
                hidden = unstable.get(partition, 0)
                states[partition] = PartitionState(behind, unsettled, epoch, hidden)
                standings[partition] = Standing(epoch, committed, end, behind, hidden)
        self._progress.observe(standings, self._clock.monotonic())
        self._report_blocked()
        self._telemetry.partitions(states)
        lag = sum(state.lag for state in states.values())
        time = self._admission.engine_time()
        self._workload.observe(
            Counts(time.records, self._delivery.settled, time.busy_seconds, time.full_seconds)
        )
        self._telemetry.set(names.LAG_TIME, self._workload.lag_seconds(lag))
        self._telemetry.set(names.BACKLOG, self._workload.gpu_seconds(lag))

    def _report_blocked(self) -> None:
        """Log each partition that a producer's open transaction has begun to hold up."""
        blocked = self._progress.blocked()
        for partition in blocked.keys() - self._blocked:
            logger.warning(
                "%d records of %s wait behind a producer transaction that stays open: they can be"
                " read when it ends; look for its producer (kafka-transactions.sh find-hanging).",
                blocked[partition],
                partition,
            )
        self._blocked = set(blocked)
