"""The planner, the probe and the records that kill; without a cluster."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter

import pytest
from aiohttp import web

from tests.chaos.faults import WEIGHTS, plan
from tests.chaos.feed import SHARES, shares, value_of
from tests.chaos.liveness import SILENT_SECONDS, Liveness
from tests.chaos.pending import PENDING
from tests.chaos.poisoned import (
    FREEZES_LOOP,
    KILLS_ENGINE,
    KILLS_PROCESS,
    LOG_VARIABLE,
    MARKERS,
    PoisonLog,
    poisonous_prompt,
)
from tests.chaos.run import ALL_KINDS, DEFAULT_KINDS, Plan
from tests.chaos.workers import RESTART_SECONDS, Platform
from worker.decoding.events import decode_event
from worker.demo.kafka.broker import free_ports
from worker.demo.kafka.broker_properties import HOST
from worker.domain.events import judged_exchange


def schedule(seed=1, seconds=300.0, kinds=tuple(WEIGHTS), poison=tuple(MARKERS)):
    return plan(seed=seed, seconds=seconds, every_seconds=3, kinds=kinds, poison=poison)


def test_a_seed_is_a_schedule():
    assert schedule() == schedule()
    assert schedule() != schedule(seed=2)


def test_poison_is_one_to_three_of_each_kind_and_leaves_the_other_faults_as_they_are():
    for seed in range(50):
        planned = schedule(seed)
        counts = Counter(one.kind for one in planned)
        assert all(1 <= counts[kind] <= 3 for kind in MARKERS)
        assert all(one.after <= 180 for one in planned if one.kind in MARKERS)
        assert [one for one in planned if one.kind not in MARKERS] == schedule(seed, poison=())
    assert Counter(one.kind for one in schedule(seconds=25))[KILLS_PROCESS] == 1


def test_faults_of_25_minutes_show_each_kind_several_times():
    counts = Counter(one.kind for n in range(5) for one in schedule(seed=n))
    assert min(counts[kind] for kind in (*WEIGHTS, *MARKERS)) >= 4


def test_kinds_that_the_worker_cannot_stand_yet_are_left_out():
    assert set(PENDING) <= set(ALL_KINDS)
    assert Plan("exactly_once", 1, 10).kinds == DEFAULT_KINDS
    assert not set(DEFAULT_KINDS) & set(PENDING)


def test_about_half_of_the_rounds_have_named_workers():
    named = sum(Plan("exactly_once", seed, 10).are_named for seed in range(100))
    assert 30 < named < 70
    assert not Plan("exactly_once", 1, 10, named=False).are_named


def test_exchanges_take_their_share_from_the_good_records():
    assert shares() == SHARES
    more = shares(["two user messages", "kill worker"])
    assert sum(more.values()) == sum(SHARES.values())
    assert more["two user messages"] > 0


@pytest.mark.parametrize("kind", MARKERS)
def test_a_poison_record_is_an_event_like_any_other(kind):
    event = decode_event(value_of(kind, 7, None))
    assert judged_exchange(event).prompt == poisonous_prompt(kind, 7)


# a worker's parts in a process of their own, which the prompt may end
JUDGED = """
    import asyncio, sys
    from tests.chaos.poisoned import poison
    poison()
    from worker.adapters.simulated import Behaviour, SimulatedEngine
    from worker.adapters.clock import SystemClock
    from worker.adapters.vllm.tokenizer import JsonTokenizer
    from worker.domain.errors import EngineDead
    from worker.domain.events import Exchange
    from worker.domain.guard import first_request
    from worker.guards.guardreasoner.guard import GuardReasoner
    from worker.runtime.engines import demonstration_model

    async def judge(text):
        request = first_request(GuardReasoner(), Exchange(text, None))
        engine = SimulatedEngine(behaviour=Behaviour(), clock=SystemClock())
        tokenizer = JsonTokenizer.load(demonstration_model())
        (ids,) = await tokenizer.encode([request.prompt], engine.max_prompt_tokens)
        for _ in range(2):
            try:
                await engine.complete(request, ids, request_id="1", trace={})
                print("judged", flush=True)
            except EngineDead:
                print("died", flush=True)
                await engine.start()

    asyncio.run(judge(sys.argv[1]))
"""


def judge(text, log):
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", textwrap.dedent(JUDGED), text],
        env=os.environ | {LOG_VARIABLE: str(log)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_poison_kills_the_engine_each_time(tmp_path):
    ran = judge(poisonous_prompt(KILLS_ENGINE, 5), tmp_path / "log")
    assert (ran.returncode, ran.stdout) == (0, "died\ndied\n"), ran.stderr
    log = PoisonLog(tmp_path / "log")
    assert log.deaths() == {KILLS_ENGINE: {5: 2}}
    assert not log.ended(int((tmp_path / "log").read_text().split()[-1]))


def test_poison_kills_the_process(tmp_path):
    ran = judge(poisonous_prompt(KILLS_PROCESS, 6), tmp_path / "log")
    assert (ran.returncode, ran.stdout) == (-9, ""), ran.stderr
    log = PoisonLog(tmp_path / "log")
    assert log.deaths() == {KILLS_PROCESS: {6: 1}}
    assert log.ended(int((tmp_path / "log").read_text().split()[-1]))


def test_poison_freezes_the_process(tmp_path):
    log = tmp_path / "log"
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", textwrap.dedent(JUDGED), poisonous_prompt(FREEZES_LOOP, 7)],
        env=os.environ | {LOG_VARIABLE: str(log)},
        stdout=subprocess.PIPE,
    ) as frozen:
        try:
            while frozen.poll() is None and not PoisonLog(log).deaths():
                time.sleep(0.05)
            with pytest.raises(subprocess.TimeoutExpired):
                frozen.wait(1)
        finally:
            frozen.kill()
        assert frozen.stdout.read() == b""
    assert PoisonLog(log).deaths() == {FREEZES_LOOP: {7: 1}}


def test_any_other_prompt_is_judged(tmp_path):
    ran = judge("How is bread 5 baked?", tmp_path / "log")
    assert (ran.returncode, ran.stdout) == (0, "judged\njudged\n"), ran.stderr
    assert PoisonLog(tmp_path / "log").deaths() == {}


class Hand:
    """A clock that stands where it was put."""

    now = 0.0

    def __call__(self):
        return self.now


async def listening(port, handler):
    app = web.Application()
    app.router.add_get("/livez", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    return runner


async def test_a_process_that_answers_and_then_does_not_is_silent():
    (port,) = free_ports(1)
    hand = Hand()
    frozen = asyncio.Event()

    async def live(_):
        if frozen.is_set():
            await asyncio.sleep(60)
        return web.Response()

    runner = await listening(port, live)
    try:
        async with Liveness(hand) as liveness:
            assert not await liveness.is_silent(1, port, frozen=False)
            frozen.set()
            hand.now = SILENT_SECONDS - 1
            assert not await liveness.is_silent(1, port, frozen=False)
            # what a fault has frozen owes no answer, and begins again when it goes on
            hand.now = SILENT_SECONDS + 1
            assert not await liveness.is_silent(1, port, frozen=True)
            assert not await liveness.is_silent(1, port, frozen=False)
            hand.now *= 2
            hand.now += 1
            assert await liveness.is_silent(1, port, frozen=False)
    finally:
        await runner.cleanup()


async def test_a_process_that_has_not_begun_to_listen_has_longer():
    (port,) = free_ports(1)
    hand = Hand()
    async with Liveness(hand) as liveness:
        assert not await liveness.is_silent(1, port, frozen=False)
        hand.now = 3 * SILENT_SECONDS
        assert not await liveness.is_silent(1, port, frozen=False)
        hand.now = 61
        assert await liveness.is_silent(1, port, frozen=False)


# stands in for a worker: says its last words and ends when the file is there, or stays
_TWIN = """
import pathlib, sys, time
while not pathlib.Path({flag!r}).exists():
    time.sleep(0.05)
print({words!r}, file=sys.stderr)
sys.exit({code})
"""


def platform_of(program, folder):
    return Platform(
        1,
        folder=folder,
        environment={},
        command=program,
        engines=("calm",),
        seed=1,
        on_engine=lambda *_: None,
        instances="group",
    )


@pytest.mark.parametrize(
    ("words", "code", "is_violation"),
    [
        ("guardstream: Another worker has the name group-0.", 1, False),
        ("guardstream: The engine died.", 1, False),
        ("guardstream: Partitions were lost.", 1, True),
        ("group-0", 3, True),
    ],
)
async def test_the_older_of_two_workers_of_one_name_must_say_so(
    words, code, is_violation, tmp_path
):
    flag = tmp_path / "flag"
    program = [sys.executable, "-c", _TWIN.format(flag=str(flag), words=words, code=code)]
    platform = platform_of(program, tmp_path)
    (older,) = platform.workers
    try:
        platform.start(older)
        twin = platform.start_twin(older)
        assert twin.instance_id == older.instance_id == "group-0"
        assert twin.port != older.port
        assert platform.judge_twins(older, twin).what.endswith("both still run")
        await twin.kill()
        flag.touch()
        while older.running:
            await asyncio.sleep(0.05)
        broken = platform.judge_twins(older, twin)
        assert (broken is not None) == is_violation, broken
        flag.unlink()
        twin.start("calm")
        await platform.keep_one(older, twin)
        assert platform.workers == [twin]
        assert twin.wanted
    finally:
        platform.abandon()
    assert not twin.running


async def test_the_younger_of_two_workers_is_not_started_again_after_it_has_left(tmp_path):
    """A restart that has begun ends after the fault that lets one of the two go."""
    flag = tmp_path / "flag"
    program = [sys.executable, "-c", _TWIN.format(flag=str(flag), words="-", code=1)]
    platform = platform_of(program, tmp_path)
    (older,) = platform.workers
    keeping = asyncio.create_task(platform.keep_up())
    try:
        platform.start(older)
        twin = platform.start_twin(older)
        os.killpg(twin.pid, signal.SIGKILL)
        while twin.wanted:
            await asyncio.sleep(0.05)
        await platform.keep_one(older, twin)
        assert platform.workers == [older]
        await asyncio.sleep(2 * RESTART_SECONDS)
        assert twin.starts == 1
        # nor is one that runs started a second time
        platform.start(older)
        assert older.starts == 1
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        platform.abandon()
        twin.abandon()
