"""The flow on a bus in memory, with a clock whose sleeps return at once."""

import asyncio
from functools import partial

import pytest

from tests.unit.harness import INPUT, WorkerHarness
from worker.domain.errors import EngineDead
from worker.engine.circuit_breaker import BreakerPolicy


@pytest.fixture(params=["at_least_once", "exactly_once"])
def build(request):
    return partial(WorkerHarness, request.param)


async def test_records_become_verdicts_and_offsets_follow(build):
    harness = build()
    harness.send(20)
    async with harness.running():
        await harness.until(lambda: len(harness.judged()) == 20)
    assert sorted(harness.judged(), key=int) == [str(n) for n in range(20)]
    assert harness.bus.committed == {INPUT: 20}


async def test_no_more_is_in_flight_than_allowed(build):
    harness = build()
    harness.send(40)
    async with harness.running():
        await harness.until(lambda: len(harness.judged()) == 40)
    assert 4 <= harness.engine.most <= 6


async def test_a_record_waits_for_company_only_while_the_engine_works(build):
    harness = build(linger_seconds=3600.0)
    harness.send(1)
    async with harness.running():
        await harness.until(lambda: len(harness.judged()) == 1)
        harness.hold()
        harness.send(1, start=1)
        await harness.until(lambda: harness.engine.running == 1)
        harness.send(1, start=2)
        await harness.idle()
        assert harness.engine.running == 1
        harness.send(1, start=3)
        await harness.until(lambda: harness.engine.running == 3)
        harness.release()
        await harness.until(lambda: len(harness.judged()) == 4)


async def test_nothing_is_committed_of_what_a_dead_engine_left(build):
    harness = build()
    harness.send(4)
    harness.engine.dead = True
    with pytest.raises(EngineDead):
        await harness.pipeline.run()
    assert harness.judged() == []
    assert harness.bus.committed.get(INPUT, 0) == 0


async def test_a_slow_record_holds_back_its_offset_and_no_other_record(build):
    harness = build()
    harness.send(1)
    harness.engine.gate.clear()
    running = asyncio.create_task(harness.pipeline.run())
    await harness.until(lambda: harness.engine.running == 1)
    harness.engine.gate = asyncio.Event()
    harness.engine.gate.set()
    harness.send(5, start=1)
    await harness.until(lambda: harness.engine.progress == 5)
    # in exactly_once their outcomes wait, to go out in the order of the input
    published = 5 if harness.guarantee == "at_least_once" else 0
    await harness.until(lambda: len(harness.judged()) >= published)
    await harness.idle()
    assert len(harness.judged()) == published
    assert harness.bus.committed.get(INPUT, 0) == 0
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_what_arrives_while_stopping_is_not_passed_over(build):
    """The position moves past records that came during the drain: it must not be committed."""
    harness = build()
    harness.send(2)
    harness.engine.gate.clear()
    running = asyncio.create_task(harness.pipeline.run())
    await harness.until(lambda: harness.engine.running == 2)
    harness.pipeline.stop()
    harness.send(3, start=2)
    await harness.until(lambda: harness.source._positions[INPUT] == 5)
    harness.engine.gate.set()
    await running
    assert sorted(harness.judged()) == ["0", "1"]
    assert harness.bus.committed == {INPUT: 2}


async def test_the_drain_ends_when_the_engine_hangs(build):
    harness = build(drain_seconds=0.05)
    harness.send(2)
    harness.engine.gate.clear()
    running = asyncio.create_task(harness.pipeline.run())
    await harness.until(lambda: harness.engine.running == 2)
    harness.pipeline.stop()
    async with asyncio.timeout(5):
        await running
    assert harness.bus.committed.get(INPUT, 0) == 0


async def test_a_revoked_partition_is_settled_and_its_late_verdicts_are_dropped(build):
    harness = build(drain_seconds=0.05)
    harness.send(2)
    harness.engine.gate.clear()
    async with harness.running():
        await harness.until(lambda: harness.engine.running == 2)
        await harness.source.revoke([INPUT])
        harness.engine.gate.set()
        await harness.until(lambda: harness.engine.running == 0)
        await harness.idle()
        assert harness.judged() == []
        await harness.source.assign([INPUT])
        await harness.until(lambda: len(harness.judged()) == 2)
    assert harness.bus.committed == {INPUT: 2}


async def test_a_bus_that_refuses_is_tried_again(build):
    harness = build()
    harness.refuse(3)
    harness.send(3)
    async with harness.running():
        await harness.until(lambda: len(harness.judged()) == 3)
    assert sorted(harness.judged()) == ["0", "1", "2"]


async def test_bad_records_and_tombstones_end_without_the_engine(build):
    harness = build()
    harness.bus.append("events", value=None)
    harness.bus.append("events", value=b"nonsense")
    harness.bus.append("events", value=b'{"prompt": "' + b"word " * 9000 + b'"}')
    async with harness.running():
        await harness.until(lambda: len(harness.bus.topic("dead")) == 2)
    errors = [dict(r.headers)["guardstream.error"] for r in harness.bus.topic("dead")]
    assert errors == [b"NotAnEvent", b"PromptTooLong"]
    assert harness.pipeline.outcomes == {"tombstone": 1, "dead_letter": 2}
    assert harness.bus.committed == {INPUT: 3}
    assert harness.engine.most == 0


@pytest.mark.parametrize("lost", [True, False])
async def test_a_lost_partition_settles_nothing_a_revoked_one_does(build, lost):
    harness = build()
    async with harness.running():
        await harness.until(lambda: harness.delivery.epoch(INPUT) is not None)
        harness.engine.gate.clear()
        harness.send(2)
        await harness.until(lambda: harness.engine.running == 2)
        leaving = asyncio.create_task(harness.source.revoke([INPUT], lost=lost))
        await harness.until(lambda: INPUT in harness.source._paused)
        harness.engine.gate.set()
        await leaving
        await harness.idle()
        assert harness.bus.committed.get(INPUT, 0) == (0 if lost else 2)
        await harness.source.assign([INPUT])
        await harness.until(lambda: harness.bus.committed.get(INPUT) == 2)
    assert sorted(harness.judged()) == ["0", "1"]


async def test_nothing_is_read_on_behind_a_slow_record_without_end(build):
    harness = build(unsettled_records_per_partition=10, records_per_partition=4)
    harness.source.max_records = 4
    harness.engine.gate.clear()
    harness.send(1)
    async with harness.running():
        await harness.until(lambda: harness.engine.running == 1)
        slow, harness.engine.gate = harness.engine.gate, asyncio.Event()
        harness.engine.gate.set()
        harness.send(100, start=1)
        await harness.until(lambda: harness.engine.progress >= 9)
        await harness.idle()
        # a poll that was under way may bring its records still
        assert 10 <= harness.delivery.backlog(INPUT)[0] <= 14
        slow.set()
        await harness.until(lambda: len(harness.judged()) == 101)
    assert harness.bus.committed == {INPUT: 101}


async def test_an_engine_that_fails_on_everything_makes_no_dead_letters(build):
    harness = build(breaker=BreakerPolicy(max_failed_run=2, cool_seconds=0.01))
    harness.engine.failing = True
    harness.send(20)
    async with harness.running():
        await harness.until(lambda: harness.pipeline.trouble() is not None)
        await harness.idle()
        dead = len(harness.bus.topic("dead"))
        harness.engine.failing = False
        await harness.until(lambda: len(harness.judged()) == 20 - dead)
        assert harness.pipeline.trouble() is None
    # what failed before it was known that everything fails; in flight were six
    assert dead <= 1
    assert harness.bus.committed == {INPUT: 20}


async def test_an_open_breaker_does_not_hold_up_the_end(build):
    harness = build(breaker=BreakerPolicy(max_failed_run=1), drain_seconds=60)
    harness.engine.failing = True
    harness.send(3)
    async with asyncio.timeout(5), harness.running():
        await harness.until(lambda: harness.pipeline.trouble() is not None)
    assert harness.judged() == []
    assert harness.bus.committed.get(INPUT, 0) == 0


async def test_abortion_settles_what_is_resolved(build):
    harness = build(commit_interval_seconds=1e9)
    harness.send(4)
    running = asyncio.create_task(harness.pipeline.run())
    await harness.until(lambda: harness.pipeline.outcomes["verdict"] == 4)
    harness.engine.gate.clear()
    harness.send(1, start=4)
    await harness.until(lambda: harness.engine.running == 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(harness.judged()) == 4
    assert harness.bus.committed == {INPUT: 4}
