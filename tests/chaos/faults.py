"""A schedule of faults from a seed, and their doing."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aiokafka.errors import KafkaError

from tests.chaos.cluster import SESSION_SECONDS, Cluster
from tests.chaos.coordinator import keep_moving
from tests.chaos.feed import Feed
from tests.chaos.hung import hang
from tests.chaos.leaders import move_leader
from tests.chaos.network import TROUBLES, Network
from tests.chaos.oracle import Violation
from tests.chaos.poisoned import MARKERS
from tests.chaos.produces import HELD, LATE, REORDERED, Produces
from tests.chaos.refusals import NARROW, UNWRITABLE, accept, refuse
from tests.chaos.workers import Platform, WorkerProcess

TWIN = "two of one name"
REFUSALS = ("refuse verdicts", "refuse dead letters")
HUNG = "hung transaction"
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
    LATE: 3,
    REORDERED: 3,
    "refuse verdicts": 1,
    "refuse dead letters": 2,
    HUNG: 3,
    TWIN: 2,
}
_ENDED = float("inf")
# Each poison record costs up to four deaths, of some ten seconds each: few, and early in a round.
_MOST_POISON = 3
_SECONDS_PER_POISON = 150.0
_POISON_SHARE = 0.6
# a target that is in trouble may be free soon
_WAIT_SECONDS = 5.0
_TWIN_SECONDS = 30.0
_CATCH_UP_SECONDS = 2.0
# of the refusals of dead letters: large ones alone are refused
_NARROW_SHARE = 0.75

T = TypeVar("T")
_MOVE_SECONDS = 20.0
_LOOK_SECONDS = 0.2
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


def plan(
    *,
    seed: int,
    seconds: float,
    every_seconds: float,
    kinds: Sequence[str],
    poison: Sequence[str] = (),
) -> list[Planned]:
    """A schedule; the same seed gives the same one.

    Args:
        kinds: of `WEIGHTS`; they are drawn one after the other.
        poison: kinds of poison records, of which there are one to three each.
    """
    chance = random.Random(seed)
    weights = [WEIGHTS[kind] for kind in kinds]
    schedule, after = [], 0.0
    while kinds:
        after += chance.uniform(0.5, 1.5) * every_seconds
        kind, draw = chance.choices(kinds, weights)[0], chance.random()
        if after >= seconds:
            break
        schedule.append(Planned(after, kind, draw))
    # a draw of its own, so that poison leaves the other faults of a seed as they are
    chance = random.Random(f"poison of {seed}")
    most = max(1, min(_MOST_POISON, int(seconds / _SECONDS_PER_POISON)))
    for kind in poison:
        schedule += [
            Planned(chance.uniform(0, seconds * _POISON_SHARE), kind, chance.random())
            for _ in range(chance.randint(1, most))
        ]
    return sorted(schedule, key=lambda planned: planned.after)


@dataclass(frozen=True, slots=True)
class System:
    """What faults are done to.

    Attributes:
        network, produces: the proxies between workers and brokers, where there are any.
        events, verdicts, dead_letters, group: the names of the topics and of the group.
        longest_refusal_seconds: of a topic.
    """

    cluster: Cluster
    platform: Platform
    feed: Feed
    network: Network | None
    produces: Produces | None
    events: str
    verdicts: str
    dead_letters: str
    group: str
    longest_refusal_seconds: float = 60.0


class Mayhem:
    """Does what is planned; a target that is in trouble already is left alone.

    At most one broker is down or unreachable at a time, so that the topics stay writable.

    Attributes:
        faults: what was done.
        violations: broken promises that show while a fault lasts.
    """

    def __init__(self, system: System) -> None:
        self.faults: list[Fault] = []
        self.violations = list[Violation]()
        self._system = system
        self._cluster = system.cluster
        self._platform = system.platform
        self._feed = system.feed
        self._network = system.network
        self._topics = (system.events, system.verdicts, system.dead_letters)
        self._group = system.group
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
        if planned.kind == "burst" or planned.kind in MARKERS:
            await self._feed_in(planned.kind)
        elif planned.kind == "move leader":
            await self._move_leader(planned)
        elif planned.kind == "move coordinator":
            await self._move_coordinator(planned)
        elif planned.kind == HUNG:
            await self._hang(planned)
        elif planned.kind in HELD:
            await self._hold_produces(planned)
        elif planned.kind in REFUSALS:
            await self._refuse(planned)
        else:
            await self._trouble(planned)

    async def _trouble(self, planned: Planned) -> None:
        """A fault of one worker or broker, which it then is the only one to have."""
        about_broker = planned.kind.endswith("broker") or planned.kind in TROUBLES
        find = self._broker if about_broker else self._worker
        target = await self._found(find, planned.draw)
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

    async def _found(self, find: Callable[[float], T | None], draw: float) -> T | None:
        """A target that is free, now or soon; None if there is none."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while (target := find(draw)) is None and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_SECONDS)
        return target

    async def _feed_in(self, kind: str) -> None:
        if kind == "burst":
            self._feed.burst()
        else:
            await self._feed.send(kind)
        self.note(kind, "input").until = time.time()

    async def _hang(self, planned: Planned) -> None:
        at = time.time()
        seconds = planned.lasts_seconds or 2 + 12 * (planned.draw * 7 % 1)
        end = await hang(
            self._cluster.connection,
            self._system.events,
            self._feed,
            seconds=seconds,
            draw=planned.draw,
        )
        if end is not None:
            target = f"input, {seconds:.0f} s, then it {end}"
            self.faults.append(Fault(planned.kind, target, at, time.time()))

    async def _hold_produces(self, planned: Planned) -> None:
        assert self._system.produces is not None
        nodes = self._cluster.nodes
        number = nodes[int(planned.draw * len(nodes))].number
        name = f"produces to broker {number}"
        if name in self._troubled:
            return
        self._troubled.add(name)
        at = time.time()
        try:
            answers = await self._system.produces.hold(
                number,
                planned.kind,
                count=1 + int(planned.draw * 100) % 3,
                seconds=planned.lasts_seconds or 3.0,
                draw=planned.draw,
            )
        finally:
            self._troubled.discard(name)
        if answers:
            told = ", ".join(f"{n} {error}" for error, n in answers.items())
            self.faults.append(Fault(planned.kind, f"broker {number}: {told}", at, time.time()))

    async def _refuse(self, planned: Planned) -> None:
        of_verdicts = planned.kind == "refuse verdicts"
        topic = self._system.verdicts if of_verdicts else self._system.dead_letters
        if topic in self._troubled:
            return
        self._troubled.add(topic)
        try:
            if of_verdicts or planned.draw > _NARROW_SHARE:
                await self._make_unwritable(planned, topic)
            else:
                await self._reconfigure(planned, topic, NARROW)
        finally:
            self._troubled.discard(topic)

    async def _make_unwritable(self, planned: Planned, topic: str) -> None:
        """A topic wants all of its replicas, and one broker is down meanwhile."""
        number = await self._found(self._broker, planned.draw)
        if number is None:
            return
        name = f"broker {number}"
        self._troubled.add(name)
        try:
            await asyncio.to_thread(self._cluster.kill, number)
            await self._reconfigure(planned, topic, UNWRITABLE)
        finally:
            await asyncio.to_thread(self._cluster.restart, number)
            await asyncio.sleep(_CATCH_UP_SECONDS)
            self._troubled.discard(name)

    async def _reconfigure(self, planned: Planned, topic: str, how: Mapping[str, str]) -> None:
        fault = Fault(planned.kind, f"{topic}, {', '.join(how)}", time.time())
        # more often short than long
        share = (20 + 40 * planned.draw**2) / 60
        seconds = planned.lasts_seconds or share * self._system.longest_refusal_seconds
        try:
            await refuse(self._cluster.connection, topic, how)
            self.faults.append(fault)
            await asyncio.sleep(seconds)
        except (KafkaError, OSError, TimeoutError):
            pass  # the brokers are in trouble as it is, and may have done it all the same
        finally:
            await accept(self._cluster.connection, topic, how)
            fault.until = time.time()

    async def _start_twin(self, older: WorkerProcess) -> None:
        """Start a second worker of one name; the older must end and name it."""
        deadline = time.monotonic() + _TWIN_SECONDS
        while not older.has_joined:
            # of two that join at once, either may be the older in the group
            if not older.running or time.monotonic() > deadline:
                return
            await asyncio.sleep(_LOOK_SECONDS)
        older.wanted = False
        twin = self._platform.start_twin(older)
        self._troubled.add(twin.name)
        patience = _TWIN_SECONDS
        try:
            while patience > 0 and older.running and twin.running:
                await asyncio.sleep(_LOOK_SECONDS)
                # without its coordinator nobody learns of the other
                patience -= 0 if self._brokers_in_trouble() else _LOOK_SECONDS
            broken = self._platform.judge_twins(older, twin)
            if broken is not None:
                self.violations.append(broken)
        finally:
            self._troubled.discard(twin.name)
            await self._platform.keep_one(older, twin)

    async def _trouble_worker(self, planned: Planned, worker: WorkerProcess) -> None:
        if planned.kind == TWIN:
            await self._start_twin(worker)
            return
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
        await asyncio.sleep(_CATCH_UP_SECONDS)

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
        if self._brokers_in_trouble():
            return None
        return self._cluster.nodes[int(draw * len(self._cluster.nodes))].number

    def _brokers_in_trouble(self) -> bool:
        return any(name.startswith("broker") for name in self._troubled)
