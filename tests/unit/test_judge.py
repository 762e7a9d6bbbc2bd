"""What becomes of prompts when the engine dies under them, or gives no answer."""

import asyncio

import orjson
import pytest

from tests.unit.clocks import QuickClock
from tests.unit.guards.declared import declared
from tests.unit.judges import build_judge
from worker.adapters.simulated import Behaviour, SimulatedEngine
from worker.domain.errors import EngineInterrupted, JudgingTimedOut, PoisonRecord
from worker.domain.records import Partition, Record, record_of_line


class Frail(SimulatedEngine):
    """Dies whenever it has a certain prompt, together with all that it has."""

    def __init__(self, clock, deadly=()):
        super().__init__(behaviour=Behaviour(0.0, 0.0), clock=clock)
        self.deadly = deadly
        self.deaths = 0
        self.silent = 0
        self._running = set()

    def die(self):
        self.deaths += 1
        for call in self._running:
            call.set_result(None)
        self._running = set()

    async def complete(self, request, prompt_token_ids, *, request_id, trace):
        if self.silent:
            self.silent -= 1
            await asyncio.get_running_loop().create_future()
        death = asyncio.get_running_loop().create_future()
        self._running.add(death)
        try:
            if len(prompt_token_ids) in self.deadly:
                await asyncio.sleep(0)  # others come first
                self.die()
            for _ in range(5):
                await asyncio.sleep(0)
                if death.done():
                    raise EngineInterrupted("The engine died.")
        finally:
            self._running.discard(death)
        return await super().complete(request, prompt_token_ids, request_id=request_id, trace=trace)


async def cases(judge, *prompts):
    records = [
        Record(
            *(Partition("events", 0), 1, n, None, orjson.dumps({"id": str(n), "prompt": prompt})),
            *((), 0, 0.0),
        )
        for n, prompt in enumerate(prompts)
    ]
    return [one.exchanges[0] for one in await judge.prepare(records)]


async def test_a_prompt_that_kills_the_engine_is_told_from_its_neighbours():
    clock = QuickClock()
    engine = Frail(clock)
    judge = build_judge(engine, clock)
    prepared = await cases(judge, *["hello"] * 40, "hello " * 50, *["hello"] * 40)
    engine.deadly = {len(prepared[40].prompt_token_ids)}
    found = await asyncio.gather(*map(judge.judge, prepared), return_exceptions=True)
    assert isinstance(found[40], PoisonRecord)
    assert all(verdict.status == "complete" for n, verdict in enumerate(found) if n != 40)
    assert engine.deaths == 4


async def test_an_engine_that_says_nothing_is_timed_out():
    clock = QuickClock()
    engine = Frail(clock)
    judge = build_judge(engine, clock, request_timeout_seconds=0.01)
    engine.silent = 1
    (case,) = await cases(judge, "hello")
    with pytest.raises(JudgingTimedOut):
        await judge.judge(case)


async def test_a_timeout_that_is_late_is_not_the_engines():
    clock = QuickClock()
    engine = Frail(clock)
    judge = build_judge(engine, clock, request_timeout_seconds=0.01)
    engine.silent = 1
    (case,) = await cases(judge, "hello")
    judging = asyncio.ensure_future(judge.judge(case))
    await asyncio.sleep(0)
    clock.stopped_seconds = 100.0
    assert (await judging).status == "complete"


async def test_an_engine_that_dies_by_chance_condemns_nobody():
    clock = QuickClock()
    engine = Frail(clock)
    judge = build_judge(engine, clock)
    prepared = await cases(judge, *["hello"] * 40)
    judging = asyncio.gather(*map(judge.judge, prepared))
    for _ in range(3):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        engine.die()
    assert all(verdict.status == "complete" for verdict in await judging)
    assert engine.deaths == 3


async def test_a_record_that_is_judged_again_asks_its_further_requests():
    clock = QuickClock()
    # the simulated engine gives no such answer, so labels are forced: continuations of the request
    guard = declared("qwen3guard")
    judge = build_judge(SimulatedEngine(behaviour=Behaviour(), clock=clock), clock, guard=guard)
    ((_, (prepared,), _),) = await judge.prepare([record_of_line("t", 0, b'{"prompt": "a"}', 0.0)])
    first, second = await judge.judge(prepared), await judge.judge(prepared)
    assert first.usage.requests == second.usage.requests == 2
    assert first.prompt_harmfulness == second.prompt_harmfulness
