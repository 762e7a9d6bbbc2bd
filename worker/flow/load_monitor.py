"""What only time tells: the loop's lateness, the engine's load, the lag and the work in it."""

import contextlib
import logging
from collections.abc import Callable, Collection, Mapping

from worker.delivery.base import Delivery
from worker.domain.errors import Retriable
from worker.domain.ports import Clock, Source
from worker.domain.records import Partition
from worker.flow.progress import Progress, Standing
from worker.flow.workload import Counts, Workload
from worker.telemetry import PartitionState, Telemetry, names

logger = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 1.0
_BEATS_BETWEEN_LAGS = 5


class LoadMonitor:
    """Counts what is at the engine, and looks around once a second.

    Args:
        held: the partitions that are ours.
        devices: GPUs that the engine runs on.
        max_num_seqs: how many prompts it runs at once; read when it runs.
        stuck_seconds: how long a partition with lag may stand still before it is trouble.
    """

    def __init__(
        self,
        *,
        source: Source,
        delivery: Delivery,
        telemetry: Telemetry,
        clock: Clock,
        held: Callable[[], Collection[Partition]],
        devices: int,
        max_num_seqs: Callable[[], int],
        stuck_seconds: float = 300.0,
    ) -> None:
        self._source = source
        self._delivery = delivery
        self._telemetry = telemetry
        self._clock = clock
        self._held = held
        self._workload = Workload(devices)
        self._max_num_seqs = max_num_seqs
        self._progress = Progress(stuck_seconds)
        self._ends: Mapping[Partition, int] = {}
        self._blocked: set[Partition] = set()
        self.at_engine = 0
        self._returned = 0
        self._counted_at = 0.0
        self._busy_seconds = 0.0
        self._full_seconds = 0.0

    def trouble(self) -> str | None:
        """The partition that has not moved for too long, if there is one."""
        return self._progress.trouble()

    def entered(self) -> None:
        """A record went to the engine."""
        self._count_time()
        self.at_engine += 1

    def returned(self) -> None:
        """A record came back from the engine."""
        self._count_time()
        self.at_engine -= 1
        self._returned += 1

    async def run(self) -> None:
        """Look around until cancelled."""
        beats, told_busy = 0, 0.0
        while True:
            due = self._clock.monotonic() + _HEARTBEAT_SECONDS
            await self._clock.sleep(_HEARTBEAT_SECONDS)
            self._telemetry.set(names.LOOP_LAG, max(self._clock.monotonic() - due, 0.0))
            self._count_time()
            self._telemetry.add(names.ENGINE_BUSY, self._busy_seconds - told_busy)
            told_busy = self._busy_seconds
            if beats % _BEATS_BETWEEN_LAGS == 0:
                await self._measure_lag()
            beats += 1

    def _count_time(self) -> None:
        """Count the engine's time since the last count, for as many as were there."""
        now = self._clock.monotonic()
        if self.at_engine:
            took = now - self._counted_at
            self._busy_seconds += took
            self._full_seconds += took * min(self.at_engine / self._max_num_seqs(), 1.0)
        self._counted_at = now

    async def _measure_lag(self) -> None:
        epochs = {p: epoch for p in self._held() if (epoch := self._delivery.epoch(p)) is not None}
        # one partition without a leader fails for all: what was known of the others stays true
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
        settled = self._delivery.settled
        self._workload.observe(
            Counts(self._returned, settled, self._busy_seconds, self._full_seconds)
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
