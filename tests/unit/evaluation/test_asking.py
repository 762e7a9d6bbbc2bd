"""Completions by the engine, and a run that resumes where it stopped."""

import asyncio

import pytest

from tests.unit.clocks import QuickClock
from tests.unit.evaluation.rows import GUARD, event
from tests.unit.harness import GatedEngine
from tests.unit.judges import build_judge
from worker.domain.errors import EngineDead
from worker.evaluation.asking import ask
from worker.evaluation.keeping import completions_file


class Asked:
    def __init__(self):
        clock = QuickClock()
        self.engine = GatedEngine(clock)
        self.judge = build_judge(self.engine, clock, guard=GUARD)
        self.progress = []

    async def __call__(self, events, kept=None, limit=3):
        return await ask(
            self.judge,
            events,
            limit=limit,
            now=lambda: 1_764_000_000.0,
            kept=kept,
            progress=self.progress.append,
        )


EVENTS = [event(str(n), prompt=f"request {n}") for n in range(10)]


async def test_every_event_gets_its_answer_and_few_requests_run_at_once():
    asked = Asked()
    asked.engine.gate.clear()
    asking = asyncio.create_task(asked(EVENTS))
    async with asyncio.timeout(10):
        while asked.engine.running < 3:
            await asyncio.sleep(0)
    asked.engine.gate.set()
    answers = await asking
    assert set(answers) == {one.id for one in EVENTS}
    assert all(one.status == "complete" for one in answers.values())
    assert all("simulated" in one.flags for one in answers.values())
    assert asked.engine.most == 3
    assert asked.progress == list(range(11))


async def test_an_event_that_cannot_be_judged_fails_alone():
    long = event("long", prompt="word " * 9000)
    answers = await Asked()([*EVENTS, long])
    assert answers["long"].status == "unjudged"
    assert "tokens" in answers["long"].reason
    assert [one.status for one in answers.values()].count("complete") == 10


async def test_an_interrupted_run_resumes_where_it_stopped(tmp_path):
    path = tmp_path / "c.jsonl"
    first, second = Asked(), Asked()
    with completions_file(path, first.judge.reference) as kept:
        running = asyncio.create_task(first(EVENTS, kept, limit=2))
        while len(first.progress) < 5:
            await asyncio.sleep(0)
        first.engine.gate.clear()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not first.engine.running
    done = len(path.read_bytes().splitlines())
    assert 4 <= done < 10
    path.write_bytes(path.read_bytes() + b'{"id": "torn')
    with completions_file(path, second.judge.reference) as kept:
        answers = await second(EVENTS, kept)
    assert second.progress[0] == done
    assert len(second.engine.traces) == 10 - done
    assert len(path.read_bytes().splitlines()) == 10
    assert answers == await Asked()(EVENTS)


async def test_an_event_that_has_changed_since_is_judged_again(tmp_path):
    path = tmp_path / "c.jsonl"
    changed = [event("0", prompt="another request"), *EVENTS[1:]]
    for events, asked_for in ((EVENTS, 10), (changed, 1), (changed, 0)):
        asked = Asked()
        with completions_file(path, asked.judge.reference) as kept:
            await asked(events, kept)
        assert len(asked.engine.traces) == asked_for


async def test_a_dead_engine_ends_the_run_and_keeps_the_completions(tmp_path):
    path = tmp_path / "c.jsonl"
    asked = Asked()
    with completions_file(path, asked.judge.reference) as kept:
        await asked(EVENTS[:4], kept)
        asked.engine.dead = True
        with pytest.raises(EngineDead):
            await asked(EVENTS, kept)
    assert len(path.read_bytes().splitlines()) == 4
