"""The trials: capacity, then ages under load, a burst, slow records and requests alone."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import median
from benchmarks.rivals.sides import SIDES, Side, Topics, start_side
from benchmarks.rivals.trial import Lane, open_lane, prepare_topics
from benchmarks.rivals.workload import (
    Arrival,
    backlog,
    flow,
    mixed_values,
    poisson_moments,
    prompt_only_values,
    with_slow,
)
from worker.adapters.kafka.connection import Connection
from worker.demo.kafka.broker import Broker

_START_PATIENCE_SECONDS, _PATIENCE_SECONDS = 400.0, 180.0
_SETTLE_SECONDS, _IDLE_SECONDS = 2.0, 5.0
# of a warm-up: more than either has in flight
_WARM_UP = 300
_Trial = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        backlog: events of a trial of capacity, and `rounds` how many trials each side has.
        shares: of the smaller capacity, for `seconds` each.
        burst: events at once, on half the capacity.
        slow_every: each so manieth record is a slow one, at half the capacity too.
    """

    backlog: int
    rounds: int
    shares: tuple[float, ...]
    seconds: float
    burst: int
    slow_every: int


FULL = Effort(
    backlog=768, rounds=3, shares=(0.5, 0.8, 0.95), seconds=25.0, burst=300, slow_every=50
)
QUICK = Effort(backlog=256, rounds=1, shares=(0.5, 0.8, 0.95), seconds=6.0, burst=60, slow_every=50)


class Measuring:
    """Gives both sides the same trials in turn; who goes first changes from trial to trial."""

    def __init__(self, lanes: Mapping[str, Lane], effort: Effort) -> None:
        self._lanes = lanes
        self._effort = effort
        self._trials = 0

    async def warm_up(self) -> None:
        """A trial that does not count."""
        await self._both("warm-up", backlog(mixed_values(_WARM_UP, 0)), at_once=True)

    async def run_all(self) -> dict[str, Any]:
        """Every figure."""
        capacity = await self._capacity(mixed_values, seed=100)
        rates = {name: [t["events_per_second"] for t in capacity[name]] for name in SIDES}
        smaller = min(median(rates[name]) for name in SIDES)
        return {
            "capacity": capacity,
            "smaller_capacity": smaller,
            "loads": [
                {"share": share} | await self._load(smaller, share) for share in self._effort.shares
            ],
            "burst": await self._burst(smaller / 2),
            "slow": await self._slow(smaller / 2),
            "prompt_only": await self._capacity(prompt_only_values, seed=200),
            "burst_events": self._effort.burst,
            "slow_every": self._effort.slow_every,
        }

    async def _capacity(
        self, values: Callable[[int, int], list[bytes]], *, seed: int
    ) -> dict[str, list[_Trial]]:
        found: dict[str, list[_Trial]] = {name: [] for name in SIDES}
        for number in range(self._effort.rounds):
            events = backlog(values(self._effort.backlog, seed + number))
            name = f"capacity, {values.__name__}, round {number + 1}"
            for side, trial in (await self._both(name, events, at_once=True)).items():
                found[side].append(trial)
        return found

    async def _load(self, capacity: float, share: float) -> dict[str, Any]:
        rate = share * capacity
        seed = round(300 + 100 * share)
        trials = await self._both(f"{share:.0%} of capacity", self._flow(rate, seed))
        return {"rate": round(rate, 2)} | trials

    async def _burst(self, rate: float) -> dict[str, _Trial]:
        at = self._effort.seconds / 3
        burst = backlog(mixed_values(self._effort.burst, 501), at=at, kind="burst")
        arrivals = sorted(self._flow(rate, 500) + burst, key=lambda arrival: arrival.at)
        return await self._both("burst", arrivals)

    async def _slow(self, rate: float) -> dict[str, dict[str, _Trial]]:
        """The same arrivals without slow records and with them."""
        return {
            "without": await self._both("without slow records", self._flow(rate, 600)),
            "with": await self._both(
                "with slow records",
                with_slow(self._flow(rate, 600, other=601), self._effort.slow_every),
            ),
        }

    def _flow(self, rate: float, seed: int, *, other: int | None = None) -> list[Arrival]:
        """Of the moments of one seed; the texts are those of `other`, if it is given."""
        moments = poisson_moments(rate, self._effort.seconds, seed)
        return flow(moments, mixed_values(len(moments), seed if other is None else other))

    async def _both(
        self, name: str, arrivals: Sequence[Arrival], *, at_once: bool = False
    ) -> dict[str, _Trial]:
        self._trials += 1
        found: dict[str, _Trial] = {}
        for side in SIDES if self._trials % 2 else reversed(SIDES):
            trial = await self._lanes[side].run(
                arrivals, patience_seconds=_PATIENCE_SECONDS, at_once=at_once
            )
            ages = trial["ages"].get("flow", {})
            print(
                f"  {name}, {side}: {trial['events_per_second']:.1f} events/s,"
                f" age p50 {ages.get('p50', 0):.2f} s, p99 {ages.get('p99', 0):.2f} s",
                flush=True,
            )
            found[side] = trial
        return found


async def measure_all(effort: Effort) -> dict[str, Any]:
    """Both sides on one broker, each loaded once."""
    folder = Path(tempfile.mkdtemp(prefix="guardstream-rivals-"))
    async with Broker(heap_mebibytes=512) as broker, AsyncExitStack() as stack:
        connection = Connection(broker.bootstrap_servers)
        sides, lanes = {}, {}
        for name in SIDES:
            await prepare_topics(connection, Topics.of(name))
            side = await stack.enter_async_context(
                start_side(name, broker.bootstrap_servers, folder)
            )
            lane = await stack.enter_async_context(open_lane(connection, side))
            first = backlog(mixed_values(1, -1))
            await lane.run(first, patience_seconds=_START_PATIENCE_SECONDS)
            print(f"  {name} is loaded", flush=True)
            sides[name], lanes[name] = side, lane
        measuring = Measuring(lanes, effort)
        await measuring.warm_up()
        idle = await _idle_cores(sides)
        found = await measuring.run_all()
    shutil.rmtree(folder)
    return found | {"idle_cores": idle}


async def _idle_cores(sides: Mapping[str, Side]) -> dict[str, float]:
    """What each side takes while it is the other's turn."""
    await asyncio.sleep(_SETTLE_SECONDS)
    began = time.monotonic()
    used = {name: side.cpu_seconds() for name, side in sides.items()}
    await asyncio.sleep(_IDLE_SECONDS)
    seconds = time.monotonic() - began
    idle = {name: (side.cpu_seconds() - used[name]) / seconds for name, side in sides.items()}
    words = ", ".join(f"{name} {cores:.1%}" for name, cores in idle.items())
    print(f"  idle they take of a core: {words}", flush=True)
    return idle
