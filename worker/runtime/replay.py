"""A bounded run: from a time, until the end that the topics have now."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from worker.adapters.kafka.replay import begin_group, left_to_read, ranges_since
from worker.domain.errors import BusUnavailable
from worker.domain.records import Partition
from worker.runtime.connection import build_connection
from worker.runtime.settings import Settings
from worker.runtime.worker import Worker

logger = logging.getLogger(__name__)

_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What a bounded run will read.

    Attributes:
        settings: of its worker, with the group of the replay.
        starts: where its group starts or continues.
        ends: the first offset of each partition that is not read; none where it has no end.
    """

    settings: Settings
    starts: Mapping[Partition, int]
    ends: Mapping[Partition, int]

    @property
    def offsets(self) -> int:
        """How many offsets are to be read; some may hold no record."""
        return sum(max(end - self.starts[p], 0) for p, end in self.ends.items())


def replay_group(group_id: str, start_ms: int) -> str:
    """The group of a replay from this time: the same command continues it."""
    start = datetime.fromtimestamp(start_ms / 1000, UTC)
    return f"{group_id}-replay-{start:%Y%m%dT%H%M%SZ}"


async def plan_replay(
    settings: Settings, *, start_ms: int | None, until_end: bool, group_id: str | None = None
) -> ReplayPlan:
    """Prepare the group of a bounded run.

    Args:
        settings: of the worker; with `start_ms`, the replay has a separate group.
        start_ms: Unix milliseconds; None continues the group of the settings.
        until_end: whether to stop at the end that the topics have now.
        group_id: instead of the name that `replay_group` gives.

    Raises:
        BusUnavailable: the topics or the group's offsets are not available.
    """
    connection = build_connection(settings)
    ranges = await ranges_since(connection, settings.input.topics, start_ms)
    ends = {p: held.stop for p, held in ranges.items()} if until_end else {}
    if start_ms is None and group_id is None:
        left = await left_to_read(connection, settings.input.group_id, ends)
        return ReplayPlan(settings, {p: ends[p] - count for p, count in left.items()}, ends)
    name = group_id or replay_group(settings.input.group_id, start_ms or 0)
    # a static member of the live group must not be replaced
    changes = {"group_id": name, "group_instance_id": None}
    own = settings.model_copy(update={"input": settings.input.model_copy(update=changes)})
    starts = await begin_group(connection, name, {p: held.start for p, held in ranges.items()})
    return ReplayPlan(own, starts, ends)


async def run_replay(
    plan: ReplayPlan, worker: Worker, progress: Callable[[int, int], None]
) -> None:
    """Run a worker until its group has committed the ends of the plan, or until it is stopped.

    Args:
        plan: whose ends the worker was built with.
        worker: not running.
        progress: called with the offsets that are done, and all of them.

    Raises:
        Fatal: an error stopped the worker.
    """
    watching = asyncio.create_task(_stop_at_end(plan, worker, progress))
    try:
        await worker.run()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _stop_at_end(
    plan: ReplayPlan, worker: Worker, progress: Callable[[int, int], None]
) -> None:
    while True:
        try:
            left = await left_to_read(worker.connection, plan.settings.input.group_id, plan.ends)
        except BusUnavailable as error:
            logger.warning("The progress cannot be read at the moment. %s", error)
        else:
            open_offsets = sum(left.values())
            progress(max(plan.offsets - open_offsets, 0), plan.offsets)
            if not open_offsets:
                worker.stop()
                return
        await asyncio.sleep(_POLL_SECONDS)


class ProgressLog:
    """Logs the progress of a replay, and how long the rest will take, at most twice a minute."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began: tuple[float, int] | None = None
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        """This many of all offsets are done."""
        now = self._now()
        if self._began is None:
            self._began = now, done
            self._next = now + 30
            return
        if now < self._next and done < total:
            return
        self._next = now + 30
        began, done_before = self._began
        rate = (done - done_before) / (now - began) if now > began else 0.0
        rest = f", {(total - done) / rate:,.0f} s left" if rate and done < total else ""
        share = done / total if total else 1.0
        logger.info(
            "Replay: %s of %s offsets (%.0f %%), %.0f/s%s.",
            f"{done:,}",
            f"{total:,}",
            100 * share,
            rate,
            rest,
        )
