"""A vLLM engine that is killed, and one that hangs, each restarted in place."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from worker.domain.errors import EngineDead, EngineInterrupted
from worker.domain.events import Exchange
from worker.domain.guard import first_request
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.guards.guardreasoner.prompt import render
from worker.runtime.build import build_judging
from worker.runtime.engines import DEMONSTRATION, load_model
from worker.runtime.settings import load_settings

REQUEST = first_request(GuardReasoner(), Exchange("How do I bake bread?", None))

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(2400),
    # torch and vllm warn of themselves
    pytest.mark.filterwarnings("default"),
]


def cores():
    """The process ids of vLLM's engine cores among our children."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    children = [Path("/proc", pid) for task in tasks for pid in task.read_text().split()]
    names = {int(c.name): (c / "comm").read_text() + (c / "cmdline").read_text() for c in children}
    return [pid for pid, name in names.items() if "EngineCore" in name]


async def test_a_killed_and_a_hung_engine_are_restarted_and_then_given_up():
    settings = load_settings(
        engine={
            "model": DEMONSTRATION,
            "max_num_seqs": 8,
            "on_death": "restart",
            "restarts": 2,
            "stall_seconds": 5.0,
        },
        health={"port": 0},
    )
    judging = build_judging(settings)
    engine = judging.engine
    await engine.start()
    try:
        prompts = [render(f"How do I bake bread? {n}", None) for n in range(4)]
        ids = await load_model(settings).tokenizer.encode(prompts, engine.max_prompt_tokens)

        async def ask():
            return await asyncio.gather(
                *(
                    engine.complete(REQUEST, p, request_id=os.urandom(4).hex(), trace={})
                    for p in ids
                ),
                return_exceptions=True,
            )

        for fault in (signal.SIGKILL, signal.SIGSTOP):
            asking = asyncio.create_task(ask())
            await asyncio.sleep(0.05)
            (core,) = cores()
            os.kill(core, fault)
            interrupted = await asyncio.wait_for(asking, 120)
            assert {type(result) for result in interrupted} == {EngineInterrupted}, fault
            assert engine.trouble
            await asyncio.wait_for(engine.ready(), 600)
            assert all(answer.text.startswith("# Task 1") for answer in await ask()), fault
            assert core not in cores(), "the former core must not keep the device"

        (core,) = cores()
        os.kill(core, signal.SIGKILL)
        with pytest.raises(EngineInterrupted):
            await engine.complete(REQUEST, ids[0], request_id="last", trace={})
        with pytest.raises(EngineDead, match="stops without committing"):
            await engine.ready()
    finally:
        await engine.stop()
