"""An engine that dies or hangs, and who hears of it."""

import asyncio

import pytest

from tests.unit.clocks import ManualClock, turns
from worker.adapters.simulated import Behaviour, SimulatedEngine
from worker.domain.errors import EngineDead, EngineInterrupted, EngineUnavailable
from worker.domain.events import Exchange
from worker.domain.guard import first_request
from worker.engine.supervisor import SupervisedEngine, SupervisionPolicy
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.telemetry import Telemetry

REQUEST = first_request(GuardReasoner(), Exchange("How do I bake bread?", None))


class Mortal(SimulatedEngine):
    def __init__(self, clock):
        super().__init__(behaviour=Behaviour(0.0, 0.0), clock=clock)
        self.starts = 0
        self.stops = 0
        self.dies = 0
        self.hangs = False
        self.startable = True
        self.gate = asyncio.Event()
        self.gate.set()

    async def start(self):
        if not self.startable:
            raise EngineUnavailable("no memory")
        self.starts += 1

    async def stop(self):
        self.stops += 1

    async def complete(self, request, prompt_token_ids, *, request_id, trace):
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        await self.gate.wait()
        if self.dies:
            self.dies -= 1
            raise EngineDead("The engine died.")
        return await super().complete(request, prompt_token_ids, request_id=request_id, trace=trace)


@pytest.fixture
async def build():
    built = []

    async def make(**policy):
        clock = ManualClock()
        engine = Mortal(clock)
        supervised = SupervisedEngine(
            engine, policy=SupervisionPolicy(**policy), clock=clock, telemetry=Telemetry(clock)
        )
        await supervised.start()
        built.append(supervised)
        return engine, supervised

    yield make
    for supervised in built:
        await supervised.stop()


def ask(engine):
    return engine.complete(REQUEST, [1, 2], request_id="r", trace={})


async def test_without_restarts_a_death_is_final(build):
    engine, supervised = await build(restarts=0)
    engine.dies = 1
    with pytest.raises(EngineInterrupted):
        await ask(supervised)
    with pytest.raises(EngineDead, match=r"The engine died\. The worker stops"):
        await supervised.ready()
    with pytest.raises(EngineDead):
        await ask(supervised)
    assert engine.starts == 1


async def test_it_is_restarted_in_place_as_often_as_allowed(build):
    engine, supervised = await build(restarts=2)
    for _ in range(2):
        engine.dies = 1
        with pytest.raises(EngineInterrupted):
            await ask(supervised)
        await supervised.ready()
        assert (await ask(supervised)).text
    engine.dies = 1
    with pytest.raises(EngineInterrupted):
        await ask(supervised)
    with pytest.raises(EngineDead):
        await supervised.ready()
    assert (engine.starts, engine.stops) == (3, 2)


async def test_many_prompts_under_one_death_are_one_restart(build):
    engine, supervised = await build(restarts=1)
    engine.gate.clear()
    asking = [asyncio.ensure_future(ask(supervised)) for _ in range(5)]
    await asyncio.sleep(0)
    engine.dies = 5
    engine.gate.set()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(result, EngineInterrupted) for result in results)
    await supervised.ready()
    assert engine.starts == 2


async def test_a_hung_engine_is_a_dead_one(build):
    engine, supervised = await build(restarts=1, stall_seconds=40.0)
    engine.hangs = True
    with pytest.raises(EngineInterrupted):
        await ask(supervised)
    engine.hangs = False
    await supervised.ready()
    assert (await ask(supervised)).text
    assert engine.starts == 2


async def test_an_idle_engine_is_not_a_hung_one(build):
    engine, supervised = await build(restarts=0, stall_seconds=40.0)
    await turns(200)
    assert supervised.trouble is None
    assert (await ask(supervised)).text
    assert engine.starts == 1


async def test_one_that_does_not_come_back_says_why(build):
    engine, supervised = await build(restarts=3)
    engine.dies, engine.startable = 1, False
    with pytest.raises(EngineInterrupted):
        await ask(supervised)
    with pytest.raises(EngineDead, match="no memory"):
        await supervised.ready()


async def test_a_process_that_was_stopped_does_not_blame_the_engine(build):
    engine, supervised = await build(restarts=0, stall_seconds=40.0)
    engine.gate.clear()
    asking = asyncio.ensure_future(ask(supervised))
    looks = supervised._clock.time
    while supervised._clock.time < looks + 20.0:
        await asyncio.sleep(0)
    # one look took this long
    supervised._clock.time += 1000.0
    looks = supervised._clock.time
    while supervised._clock.time < looks + 10.0:
        await asyncio.sleep(0)
    engine.gate.set()
    assert (await asking).text
    assert supervised.trouble is None
