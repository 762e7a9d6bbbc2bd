"""What the core relies on of an engine, asked of the simulation and of vLLM alike."""

import asyncio

import pytest

from worker.domain.errors import InvalidRequest
from worker.guards.guardreasoner.prompt import GuardReasoner
from worker.runtime.build import DEMONSTRATION, build_judging
from worker.runtime.settings import load_settings

# torch and vllm warn of themselves
pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("default")]


@pytest.fixture(
    params=["simulated", pytest.param("vllm", marks=pytest.mark.e2e)],
    scope="module",
)
def kind(request):
    return request.param


async def test_an_engine_keeps_its_promises(kind):
    # one test, since a real engine takes a minute to start
    settings = load_settings(
        engine={"kind": kind, "model": DEMONSTRATION, "max_num_seqs": 8}, health={"port": 0}
    )
    judging = build_judging(settings)
    engine = judging.engine
    await engine.start()
    try:
        assert engine.reference.name == kind
        assert engine.reference.version
        assert engine.max_num_seqs == 8
        assert engine.max_prompt_tokens >= 512
        assert ("simulated" in engine.flags) == (kind == "simulated")

        tokenizer = judging.judge.tokenizer
        prompts = [GuardReasoner().render(f"How do I bake bread? {n}", None) for n in range(20)]
        ids = await tokenizer.encode(prompts, engine.max_prompt_tokens)
        answers = await asyncio.gather(
            *(engine.complete(p, request_id=str(n), trace={}) for n, p in enumerate(ids))
        )
        for prompt, answer in zip(ids, answers, strict=True):
            assert answer.text.startswith("# Task 1")
            assert answer.finish_reason in ("stop", "length")
            assert answer.usage.prompt_tokens == len(prompt)
            assert answer.usage.completion_tokens > 0

        for refused in ([], [5] * 10_000):
            with pytest.raises(InvalidRequest):
                await engine.complete(refused, request_id="bad", trace={})

        running = asyncio.create_task(engine.complete(ids[0], request_id="gone", trace={}))
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        again = await engine.complete(ids[0], request_id="after", trace={})
        assert again.text.startswith("# Task 1")
    finally:
        await engine.stop()
