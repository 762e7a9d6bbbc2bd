"""The side of the engine alone: `LLM.generate` over all prompts at once, as an offline run does."""

import asyncio
import random
import time
from typing import Any

from benchmarks.efficiency.rounds import (
    ProcessorTime,
    exchanges_of,
    figures_of,
    offline_arguments,
    sampling_of,
)
from benchmarks.gpu.forced import forced
from benchmarks.gpu.sides import guard_of, lengths_of, serve, settings_of
from worker.domain.guard import first_prompt
from worker.runtime.engines import load_model

# numbers below this are bytes and common pieces, above it control tokens may begin
_TOKENS = (1000, 120_000)
_SHORT_PROMPT = 16


class EngineSide:
    """vLLM's `LLM` with the engine arguments of the worker."""

    def __init__(self, given: dict[str, Any]) -> None:
        settings = settings_of(given)
        from vllm import LLM  # noqa: PLC0415 - 20 s of CPU
        from vllm.platforms import current_platform  # noqa: PLC0415

        self._lengths = lengths_of(given)
        self._max_tokens = settings.engine.max_tokens
        self._tokenizer = load_model(settings).tokenizer
        self._llm = LLM(
            settings.engine.model,
            seed=0,
            **offline_arguments(settings, on_cpu=current_platform.is_cpu()),
        )
        self._limit = self._llm.model_config.max_model_len - self._max_tokens

    async def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Judge a backlog (`backlog`), or only read (`prefill`) or only write (`decode`)."""
        match asked["do"]:
            case "backlog":
                return await self._backlog(asked["mode"], asked["count"], asked["seed"])
            case "prefill":
                return self._prefill(asked["count"], asked["tokens"], asked["seed"])
            case "decode":
                return self._decode(asked)
        raise SystemExit(f"no request is called {asked['do']!r}.")

    async def _backlog(self, mode: str, count: int, seed: int) -> dict[str, Any]:
        guard, exchanges = guard_of(mode), exchanges_of(count, seed)
        sampling = sampling_of(
            guard,
            exchanges,
            self._tokenizer,
            self._max_tokens,
            lambda request: forced(request, self._lengths),
        )
        began, used = time.perf_counter(), ProcessorTime()
        prompts = [first_prompt(guard, exchange) for exchange in exchanges]
        encoded = await self._tokenizer.encode(prompts, self._limit)
        answers = self._llm.generate(
            [{"prompt_token_ids": ids} for ids in encoded if ids], sampling, use_tqdm=False
        )
        seconds = time.perf_counter() - began
        tokens = [(len(a.prompt_token_ids or ()), len(a.outputs[0].token_ids)) for a in answers]
        cached = sum(int(answer.num_cached_tokens or 0) for answer in answers)
        return figures_of(count, seconds, used.passed(), tokens) | {"cached_tokens": cached}

    def _prefill(self, count: int, tokens: int, seed: int) -> dict[str, Any]:
        """Prompts without a common part, one token each: the time goes into reading."""
        seconds, _ = self._time(_prompts(count, tokens, seed), 1, 0.0)
        return {"tokens_per_second": round(count * tokens / seconds), "seconds": round(seconds, 3)}

    def _decode(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Short prompts, long completions: the time goes into writing."""
        prompts = _prompts(asked["sequences"], _SHORT_PROMPT, asked["seed"])
        seconds, written = self._time(prompts, asked["tokens"], asked["temperature"])
        return {"tokens_per_second": round(written / seconds, 1), "seconds": round(seconds, 3)}

    def _time(
        self, prompts: list[dict[str, Any]], tokens: int, temperature: float
    ) -> tuple[float, int]:
        from vllm import SamplingParams  # noqa: PLC0415

        sampling = SamplingParams(
            temperature=temperature, max_tokens=tokens, ignore_eos=True, detokenize=False
        )
        began = time.perf_counter()
        answers = self._llm.generate(prompts, sampling, use_tqdm=False)
        return time.perf_counter() - began, sum(len(a.outputs[0].token_ids) for a in answers)


def _prompts(count: int, tokens: int, seed: int) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [
        {"prompt_token_ids": [draw.randrange(*_TOKENS) for _ in range(tokens)]}
        for _ in range(count)
    ]


async def run(given: dict[str, Any]) -> None:
    """Load the engine, and answer requests."""
    began = time.perf_counter()
    side = await asyncio.to_thread(EngineSide, given)
    print(f"engine: it is loaded, {time.perf_counter() - began:.0f} s", flush=True)
    await serve(side.answer)
