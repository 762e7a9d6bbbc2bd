"""A schedule of faults from a seed, and their doing."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka.errors import KafkaError

from tests.chaos.cluster import SESSION_SECONDS, Cluster
from tests.chaos.coordinator import keep_moving
from tests.chaos.feed import Feed
from tests.chaos.leaders import move_leader
from tests.chaos.network import TROUBLES, Network
from tests.chaos.workers import Platform, WorkerProcess

# how often each is drawn, against the others
WEIGHTS = {
    "kill worker": 5,
    "freeze worker": 4,
    "restart worker": 4,
    "kill broker": 4,
    "restart broker": 1,
    "move leader": 2,
    "move coordinator": 2,
    "burst": 1,
    **dict.fromkeys(TROUBLES, 2),
}
_ENDED = float("inf")
_MOVE_SECONDS = 20.0
# beyond the session of a worker that is gone, until the group has settled without it
_JOIN_SECONDS = 4.0
# a group's offsets and the states of transactions have leaders too: their coordinators
_INTERNAL_TOPICS = ("__consumer_offsets", "__transaction_state")


@dataclass(slots=True)
class Fault:
    """Something that was done to the system; times are Unix seconds."""

    kind: str
    target: str
    at: float
    until: float = _ENDED


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault to be: `after` seconds from the beginning.

    The draw, in [0, 1), decides about the target, and how long it lasts where that is not told.
    """

    after: float
    kind: str
    draw: float
    lasts_seconds: float | None = None


def plan(*, seed: int, seconds: float, every_seconds: float, kinds: Sequence[str]) -> list[Planned]:
    """A schedule; the same seed gives the same one."""
    chance = random.Random(seed)
    weights = [WEIGHTS[kind] for kind in kinds]
    schedule, after = [], 0.0
    while True:
        after += chance.uniform(0.5, 1.5) * every_seconds
        kind, draw = chance.choices(kinds, weights)[0], chance.random()
        if after >= seconds:
            return schedule
        schedule.append(Planned(after, kind, draw))


class Mayhem:
    """Does what is planned; a target that is in trouble already is left alone.

    At most one broker is down or unreachable at a time, so that the topics stay writable.
    """

    def __init__(
        self,
        cluster: Cluster,
        platform: Platform,
        feed: Feed,
        network: Network | None,
        topics: Sequence[str],
        group: str,
    ) -> None:
        self.faults: list[Fault] = []
        self._cluster = cluster
        self._platform = platform
        self._feed = feed
        self._network = network
        self._topics = topics
        self._group = group
        self._troubled: set[str] = set()

    @property
    def has_network(self) -> bool:
        """Whether the network can be troubled."""
        return self._network is not None

    def note(self, kind: str, target: str) -> Fault:
        """Write a fault down."""
        fault = Fault(kind, target, time.time())
        self.faults.append(fault)
        return fault

    def before(self, at: float) -> Fault | None:
        """The fault that was the last to begin before a moment."""
        earlier = [fault for fault in self.faults if fault.at <= at]
        return max(earlier, key=lambda fault: fault.at) if earlier else None

    def counts(self) -> Counter[str]:
        """How many faults of each kind there were."""
        return Counter(fault.kind for fault in self.faults)

    async def run(self, schedule: Sequence[Planned]) -> None:
        """Do all of it, and return when every fault has ended."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for planned in schedule:
                await asyncio.sleep(max(began + planned.after - time.monotonic(), 0))
                group.create_task(self.do(planned))

    async def do(self, planned: Planned) -> None:
        """One fault, from beginning to end."""
        if planned.kind == "burst":
            self._feed.burst()
            self.note(planned.kind, "input").until = time.time()
            return
        if planned.kind == "move leader":
            await self._move_leader(planned)
            return
        if planned.kind == "move coordinator":
            await self._move_coordinator(planned)
            return
        about_broker = planned.kind.endswith("broker") or planned.kind in TROUBLES
        target = self._broker(planned.draw) if about_broker else self._worker(planned.draw)
        if target is None:
            return
        name = target.name if isinstance(target, WorkerProcess) else f"broker {target}"
        self._troubled.add(name)
        fault = self.note(planned.kind, name)
        try:
            if isinstance(target, WorkerProcess):
                await self._trouble_worker(planned, target)
            elif planned.kind in ("kill broker", "restart broker"):
                await self._end_broker(planned, target)
            else:
                await self._trouble_network(planned, target)
        finally:
            fault.until = time.time()
            self._troubled.discard(name)

    async def _trouble_worker(self, planned: Planned, worker: WorkerProcess) -> None:
        if planned.kind == "freeze worker":
            worker.send(signal.SIGSTOP)
            try:
                await asyncio.sleep(planned.lasts_seconds or SESSION_SECONDS * (1.2 + planned.draw))
            finally:
                worker.send(signal.SIGCONT)
            return
        if planned.kind == "kill worker":
            await worker.kill()
        elif (end := await worker.stop()) is not None:
            self._platform.exits.append(end)
        await asyncio.sleep(2 * planned.draw)
        self._platform.start(worker)

    async def _move_coordinator(self, planned: Planned) -> None:
        """Let the group's coordinator move while the partitions of a worker are taken over.

        That is twice: when the worker joins again, and when its former self is missed.
        """
        worker = self._worker(planned.draw)
        if worker is None:
            return
        self._troubled.add(worker.name)
        fault = self.note(planned.kind, worker.name)
        try:
            await worker.kill()
            self._platform.start(worker)
            seconds = SESSION_SECONDS + _JOIN_SECONDS
            moves = await keep_moving(self._cluster.connection, self._group, seconds)
            fault.target += f", {moves} moves"
        finally:
            fault.until = time.time()
            self._troubled.discard(worker.name)

    async def _end_broker(self, planned: Planned, number: int) -> None:
        end = self._cluster.kill if planned.kind == "kill broker" else self._cluster.stop
        await asyncio.to_thread(end, number)
        try:
            await asyncio.sleep(1 + 5 * planned.draw)
        finally:
            await asyncio.to_thread(self._cluster.restart, number)
        # the next one only when this one's replicas have caught up
        await asyncio.sleep(2)

    async def _move_leader(self, planned: Planned) -> None:
        at = time.time()
        topics = (*self._topics, *_INTERNAL_TOPICS)
        try:
            async with asyncio.timeout(_MOVE_SECONDS):
                moved = await move_leader(self._cluster.connection, topics, planned.draw)
        except (KafkaError, TimeoutError):
            return  # the brokers are in trouble as it is
        if moved is not None:
            self.faults.append(Fault(planned.kind, moved, at, time.time()))

    async def _trouble_network(self, planned: Planned, number: int) -> None:
        assert self._network is not None
        await self._network.trouble(planned.kind, number)
        try:
            await asyncio.sleep(2 + 8 * planned.draw)
        finally:
            await self._network.heal()

    def _worker(self, draw: float) -> WorkerProcess | None:
        free = [w for w in self._platform.workers if w.running and w.name not in self._troubled]
        return free[int(draw * len(free))] if free else None

    def _broker(self, draw: float) -> int | None:
        if any(name.startswith("broker") for name in self._troubled):
            return None
        return self._cluster.nodes[int(draw * len(self._cluster.nodes))].number
