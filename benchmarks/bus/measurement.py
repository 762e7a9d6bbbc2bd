"""The trials: all contenders on one input, then Guardstream and the bare loop on others."""

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.bus.counting import Input
from benchmarks.bus.trial import run_trial
from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.contract import GUARANTEES, Guarantee, Order, Unprepared
from benchmarks.processes import ProcessFailed, run_until_exit
from benchmarks.sized_events import sized_values
from benchmarks.topics import fill
from worker.adapters.kafka.connection import Connection
from worker.demo.kafka.broker import Broker

BASE_PARTITIONS, BASE_BYTES = 8, 2048
# one thing varied at a time
VARIED = ((1, BASE_BYTES), (64, BASE_BYTES), (BASE_PARTITIONS, 512), (BASE_PARTITIONS, 16_384))
_PAIR = ("bare", "guardstream")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured. Events are of 2 KiB; of other sizes so many as take as long."""

    events: int
    rounds: int
    varied: Sequence[tuple[int, int]]
    varied_rounds: int


# a trial must take several seconds: it includes the last transaction's wait for more records
FULL = Effort(events=16_000, rounds=3, varied=VARIED, varied_rounds=2)
QUICK = Effort(events=3_000, rounds=1, varied=VARIED[-1:], varied_rounds=1)


class Measuring:
    """Runs trials on one broker, with inputs that are filled once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inputs: dict[tuple[int, int, int], Input] = {}
        self.trials: list[dict[str, Any]] = []
        self.unable: list[dict[str, str]] = []

    async def prepare(self, names: Iterable[str]) -> list[tuple[str, Guarantee]]:
        """Who can run with which guarantee; the others are kept with their own words why not."""
        able: list[tuple[str, Guarantee]] = []
        for name in names:
            contender = CONTENDERS[name]
            try:
                if contender.prepare is not None:
                    await asyncio.to_thread(contender.prepare)
            except Unprepared as error:
                self.unable += [_unable(name, guarantee, str(error)) for guarantee in GUARANTEES]
                continue
            able += [(name, guarantee) for guarantee in contender.guarantees]
            for guarantee in set(GUARANTEES) - set(contender.guarantees):
                self.unable.append(_unable(name, guarantee, await self._ask(name, guarantee)))
        return able

    async def _ask(self, name: str, guarantee: Guarantee) -> str:
        """Why a contender cannot keep a guarantee, in its own words."""
        servers = self._connection.bootstrap_servers
        order = Order(servers, "none", "none", "none", "none", guarantee, "http://127.0.0.1:9")
        status, words = await run_until_exit([*CONTENDERS[name].command, *order.arguments()])
        if status != 2:
            raise ProcessFailed(f"{name} does not refuse {guarantee} (exit {status}: {words}).")
        return words

    async def run(
        self, name: str, guarantee: Guarantee, *, partitions: int, value_bytes: int, events: int
    ) -> None:
        """One trial, added to `trials`."""
        source = await self._input(partitions, value_bytes, events)
        found = await run_trial(CONTENDERS[name], guarantee, source, self._connection)
        self.trials.append({"contender": name, **found})
        print(
            f"  {name} {guarantee}, {partitions} partitions, {value_bytes} B:"
            f" {found['events_per_second']:.0f} events/s,"
            f" {found['cpu_us_per_event']:.0f} µs of CPU, {found['lost']} lost,"
            f" {found['repeated']} repeated, {found['uncommitted']} uncommitted",
            flush=True,
        )

    async def _input(self, partitions: int, value_bytes: int, events: int) -> Input:
        key = partitions, value_bytes, events
        if key not in self._inputs:
            source = Input(
                f"events-{len(self._inputs)}-{partitions}-{value_bytes}",
                events=events,
                partitions=partitions,
                value_bytes=value_bytes,
            )
            values = sized_values(events, value_bytes, "prompt")
            await fill(self._connection, source.topic, values, partitions=partitions)
            self._inputs[key] = source
        return self._inputs[key]


async def measure_all(effort: Effort) -> dict[str, Any]:
    """Rounds of all contenders on the base case, then rounds of two on the varied ones."""
    async with Broker(heap_mebibytes=768) as broker:
        measuring = Measuring(Connection(broker.bootstrap_servers))
        able = await measuring.prepare(CONTENDERS)
        for number in range(effort.rounds):
            print(f"  round {number + 1} of {effort.rounds}, all contenders", flush=True)
            # the first one finds another machine than the last: rotate the order
            for name, guarantee in able[number % len(able) :] + able[: number % len(able)]:
                await measuring.run(
                    name,
                    guarantee,
                    partitions=BASE_PARTITIONS,
                    value_bytes=BASE_BYTES,
                    events=effort.events,
                )
        for number, (partitions, value_bytes) in itertools.product(
            range(effort.varied_rounds), effort.varied
        ):
            print(f"  round {number + 1} of {effort.varied_rounds}, varied", flush=True)
            events = round(effort.events * min(2.0, max(0.25, BASE_BYTES / value_bytes)))
            for guarantee, name in itertools.product(GUARANTEES, _PAIR):
                await measuring.run(
                    name, guarantee, partitions=partitions, value_bytes=value_bytes, events=events
                )
    return {"trials": measuring.trials, "unable": measuring.unable}


def _unable(name: str, guarantee: str, why: str) -> dict[str, str]:
    return {"contender": name, "guarantee": guarantee, "why": why}
