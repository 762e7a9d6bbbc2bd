"""The story on a bus in memory, with a clock that waits for nobody."""

import asyncio
from functools import partial

import pytest

from tests.unit.house import INPUT, House
from worker.breaker import BreakerPolicy
from worker.errors import EngineDead


@pytest.fixture(params=["at_least_once", "exactly_once"])
def build(request):
    return partial(House, request.param)


async def test_records_become_verdicts_and_offsets_follow(build):
    house = build()
    house.send(20)
    async with house.running():
        await house.until(lambda: len(house.judged()) == 20)
    assert sorted(house.judged(), key=int) == [str(n) for n in range(20)]
    assert house.bus.committed == {INPUT: 20}


async def test_no_more_is_in_flight_than_allowed(build):
    house = build()
    house.send(40)
    async with house.running():
        await house.until(lambda: len(house.judged()) == 40)
    assert 4 <= house.engine.most <= 6


async def test_nothing_is_committed_of_what_a_dead_engine_left(build):
    house = build()
    house.send(4)
    house.engine.dead = True
    with pytest.raises(EngineDead):
        await house.pipeline.run()
    assert house.judged() == []
    assert house.bus.committed.get(INPUT, 0) == 0


async def test_a_slow_record_holds_back_its_offset_and_nobody_else(build):
    house = build()
    house.send(1)
    house.engine.gate.clear()
    running = asyncio.create_task(house.pipeline.run())
    await house.until(lambda: house.engine.running == 1)
    house.engine.gate = asyncio.Event()
    house.engine.gate.set()
    house.send(5, start=1)
    await house.until(lambda: house.engine.progress == 5)
    await house.idle()
    # in exactly_once their outcomes wait, to go out in the order of the input
    assert len(house.judged()) == (5 if house.guarantee == "at_least_once" else 0)
    assert house.bus.committed.get(INPUT, 0) == 0
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_what_arrives_while_stopping_is_not_passed_over(build):
    """The position moves past records that came during the drain: it must not be committed."""
    house = build()
    house.send(2)
    house.engine.gate.clear()
    running = asyncio.create_task(house.pipeline.run())
    await house.until(lambda: house.engine.running == 2)
    house.pipeline.stop()
    house.send(3, start=2)
    await asyncio.sleep(0.1)
    house.engine.gate.set()
    await running
    assert sorted(house.judged()) == ["0", "1"]
    assert house.bus.committed == {INPUT: 2}


async def test_the_drain_ends_when_the_engine_hangs(build):
    house = build(drain_seconds=0.05)
    house.send(2)
    house.engine.gate.clear()
    running = asyncio.create_task(house.pipeline.run())
    await house.until(lambda: house.engine.running == 2)
    house.pipeline.stop()
    async with asyncio.timeout(5):
        await running
    assert house.bus.committed.get(INPUT, 0) == 0


async def test_a_revoked_partition_is_settled_and_its_late_verdicts_are_dropped(build):
    house = build(drain_seconds=0.05)
    house.send(2)
    house.engine.gate.clear()
    async with house.running():
        await house.until(lambda: house.engine.running == 2)
        await house.source.revoke([INPUT])
        house.engine.gate.set()
        await house.until(lambda: house.engine.running == 0)
        await house.idle()
        assert house.judged() == []
        await house.source.assign([INPUT])
        await house.until(lambda: len(house.judged()) == 2)
    assert house.bus.committed == {INPUT: 2}


async def test_a_bus_that_refuses_is_tried_again(build):
    house = build()
    house.refuse(3)
    house.send(3)
    async with house.running():
        await house.until(lambda: len(house.judged()) == 3)
    assert sorted(house.judged()) == ["0", "1", "2"]


async def test_bad_records_and_tombstones_end_without_the_engine(build):
    house = build()
    house.bus.append("events", value=None)
    house.bus.append("events", value=b"nonsense")
    house.bus.append("events", value=b'{"prompt": "' + b"word " * 9000 + b'"}')
    async with house.running():
        await house.until(lambda: len(house.bus.topic("dead")) == 2)
    errors = [dict(r.headers)["guardstream.error"] for r in house.bus.topic("dead")]
    assert errors == [b"NotAnEvent", b"PromptTooLong"]
    assert house.pipeline.outcomes == {"tombstone": 1, "dead_letter": 2}
    assert house.bus.committed == {INPUT: 3}
    assert house.engine.most == 0


@pytest.mark.parametrize("lost", [True, False])
async def test_a_lost_partition_settles_nothing_a_revoked_one_does(build, lost):
    house = build()
    async with house.running():
        await house.until(lambda: house.delivery.epoch(INPUT) is not None)
        house.engine.gate.clear()
        house.send(2)
        await house.until(lambda: house.engine.running == 2)
        leaving = asyncio.create_task(house.source.revoke([INPUT], lost=lost))
        await house.idle()
        house.engine.gate.set()
        await leaving
        await house.idle()
        assert house.bus.committed.get(INPUT, 0) == (0 if lost else 2)
        await house.source.assign([INPUT])
        await house.until(lambda: house.bus.committed.get(INPUT) == 2)
    assert sorted(house.judged()) == ["0", "1"]


async def test_nothing_is_read_on_behind_a_slow_record_without_end(build):
    house = build(unsettled_records_per_partition=10, queued_records_per_partition=4)
    house.source.max_records = 4
    house.engine.gate.clear()
    house.send(1)
    async with house.running():
        await house.until(lambda: house.engine.running == 1)
        slow, house.engine.gate = house.engine.gate, asyncio.Event()
        house.engine.gate.set()
        house.send(100, start=1)
        await house.until(lambda: house.engine.progress >= 9)
        await house.idle()
        # a poll that was under way may bring its records still
        assert 10 <= house.delivery.backlog(INPUT)[0] <= 14
        slow.set()
        await house.until(lambda: len(house.judged()) == 101)
    assert house.bus.committed == {INPUT: 101}


async def test_an_engine_that_fails_on_everything_makes_no_dead_letters(build):
    house = build(breaker=BreakerPolicy(max_failed_run=2, cool_seconds=0.01))
    house.engine.failing = True
    house.send(20)
    async with house.running():
        await house.until(lambda: house.pipeline.trouble() is not None)
        await house.idle()
        dead = len(house.bus.topic("dead"))
        house.engine.failing = False
        await house.until(lambda: len(house.judged()) == 20 - dead)
        assert house.pipeline.trouble() is None
    # what failed before it was known that everything fails; in flight were six
    assert dead <= 1
    assert house.bus.committed == {INPUT: 20}


async def test_an_open_breaker_does_not_hold_up_the_end(build):
    house = build(breaker=BreakerPolicy(max_failed_run=1), drain_seconds=60)
    house.engine.failing = True
    house.send(3)
    async with asyncio.timeout(5), house.running():
        await house.until(lambda: house.pipeline.trouble() is not None)
    assert house.judged() == []
    assert house.bus.committed.get(INPUT, 0) == 0


async def test_abortion_settles_what_is_resolved(build):
    house = build(commit_interval_seconds=1e9)
    house.send(4)
    running = asyncio.create_task(house.pipeline.run())
    await house.until(lambda: house.pipeline.outcomes["verdict"] == 4)
    await house.idle()
    house.engine.gate.clear()
    house.send(1, start=4)
    await house.until(lambda: house.engine.running == 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(house.judged()) == 4
    assert house.bus.committed == {INPUT: 4}
