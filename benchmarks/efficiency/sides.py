"""The two sides, each a process that loads its engine once and runs rounds on request.

`python -m benchmarks.efficiency.sides worker|engine SETTINGS`: SETTINGS are the groups `engine` and
`judging` as JSON. Scores are taken as they are, without a calibration. A line on stdin,
`COUNT SEED`, requests a round; a line of JSON on stdout has the figures. A round's exchanges follow
from its seed, so both sides get the same ones, and no round finds its prompts in the prefix cache.
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import orjson
import typer

from benchmarks.efficiency.rounds import (
    ProcessorTime,
    exchanges_of,
    figures_of,
    offline_arguments,
    sampling_of,
)
from benchmarks.topics import fill
from worker.adapters.kafka.connection import create_topics
from worker.adapters.kafka.reader import held_offsets, read_ranges
from worker.demo.kafka.broker import Broker
from worker.domain.guard import first_prompt
from worker.runtime.build import Judging, build_judging
from worker.runtime.engines import DEMONSTRATION, demonstration_model
from worker.runtime.guards import build_guard
from worker.runtime.settings import Settings, load_settings
from worker.runtime.worker import Worker

app = typer.Typer()

_PARTITIONS = 4
_WARM_UP = (128, 0)


@app.command()
def worker(settings: str) -> None:
    """Kafka to Kafka: from the partitions' takeover to the last outcome's acknowledgement."""
    asyncio.run(_serve_worker(json.loads(settings)))


async def _serve_worker(groups: dict[str, Any]) -> None:
    async with Broker() as broker:
        judging = build_judging(load_settings(**groups), calibrated=False)
        await judging.start()
        try:
            await _work(judging, broker.bootstrap_servers, groups, *_WARM_UP)
            _tell({"ready": True})
            while asked := await asyncio.to_thread(sys.stdin.readline):
                count, seed = map(int, asked.split())
                _tell(await _work(judging, broker.bootstrap_servers, groups, count, seed))
        finally:
            await judging.stop()


async def _work(
    judging: Judging, bootstrap_servers: str, groups: dict[str, Any], count: int, seed: int
) -> dict[str, Any]:
    topics = [f"{kind}-{seed}" for kind in ("events", "verdicts", "dead")]
    settings = load_settings(
        kafka={"bootstrap_servers": bootstrap_servers},
        input={"topics": topics[:1], "group_id": f"group-{seed}"},
        output={"verdict_topic": topics[1], "dead_letter_topic": topics[2]},
        **groups,
        health={"port": 0},
    )
    worker = Worker(settings, judging)
    values = [orjson.dumps(exchange) for exchange in exchanges_of(count, seed)]
    await fill(worker.connection, topics[0], values, partitions=_PARTITIONS)
    await create_topics(
        worker.connection,
        topics[1:],
        partitions=_PARTITIONS,
        # LogAppendTime: the broker's clock dates the last verdict
        message_timestamp_type="LogAppendTime",
    )
    running = asyncio.create_task(worker.run())
    await _until(lambda: worker.held == _PARTITIONS, running)
    began, used = time.time(), ProcessorTime()
    await _until(lambda: sum(worker.outcomes.values()) >= count, running)
    cpu = used.passed()
    worker.stop()
    await running
    where = await held_offsets(worker.connection, topics[1])
    verdicts = [record async for record in read_ranges(worker.connection, where)]
    usages = [orjson.loads(record.value or b"")["usage"] for record in verdicts]
    seconds = max(record.timestamp_ms for record in verdicts) / 1000 - began
    tokens = [(usage["prompt_tokens"], usage["completion_tokens"]) for usage in usages]
    return figures_of(count, seconds, cpu, tokens)


async def _until(condition: Callable[[], bool], running: asyncio.Task[None]) -> None:
    while not condition():
        if running.done():
            await running
        await asyncio.sleep(0.01)


@app.command()
def engine(settings: str) -> None:
    """`LLM.generate` over all prompts at once, the way an offline run is made."""
    from worker.adapters.vllm.engine import ENVIRONMENT  # noqa: PLC0415

    os.environ.update(ENVIRONMENT)
    logging.getLogger("vllm").setLevel(logging.ERROR)
    offline = _Offline(load_settings(**json.loads(settings)))
    offline.generate(*_WARM_UP)
    _tell({"ready": True})
    for asked in sys.stdin:
        count, seed = map(int, asked.split())
        _tell(offline.generate(count, seed))


class _Offline:
    def __init__(self, settings: Settings) -> None:
        from vllm import LLM  # noqa: PLC0415 - 20 s of CPU
        from vllm.platforms import current_platform  # noqa: PLC0415

        from worker.adapters.vllm.tokenizer import JsonTokenizer  # noqa: PLC0415

        chosen = settings.engine
        model = demonstration_model() if chosen.model == DEMONSTRATION else chosen.model
        self._guard = build_guard(settings, calibrated=False).guard
        self._tokenizer = JsonTokenizer.load(model)
        self._llm = LLM(model, **offline_arguments(settings, on_cpu=current_platform.is_cpu()))
        self._limit = self._llm.model_config.max_model_len - chosen.max_tokens
        self._max_tokens = chosen.max_tokens

    def generate(self, count: int, seed: int) -> dict[str, Any]:
        """A round; rendering and tokenising are in it, as they are in the worker's."""
        exchanges = exchanges_of(count, seed)
        sampling = sampling_of(self._guard, exchanges, self._tokenizer, self._max_tokens)
        began, used = time.perf_counter(), ProcessorTime()
        prompts = [first_prompt(self._guard, exchange) for exchange in exchanges]
        encoded = asyncio.run(self._tokenizer.encode(prompts, self._limit))
        answers = self._llm.generate(
            [{"prompt_token_ids": ids} for ids in encoded if ids],
            sampling,
            use_tqdm=False,
        )
        seconds, cpu = time.perf_counter() - began, used.passed()
        tokens = [(len(a.prompt_token_ids or ()), len(a.outputs[0].token_ids)) for a in answers]
        return figures_of(count, seconds, cpu, tokens)


def _tell(figures: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    app()
