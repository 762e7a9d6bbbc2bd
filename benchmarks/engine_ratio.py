"""Events per second through the whole worker, against the same prompts through vLLM alone.

The engine alone is `LLM.generate` over all prompts at once, the way an offline run is made. Each
runs in a process of its own, with the same arguments; rounds alternate, since machines drift.
"""

import asyncio
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from typing import Annotated, Any

import orjson
import typer

from training.exchanges import compose
from worker.adapters.kafka.broker import Broker
from worker.adapters.kafka.connection import create_topics
from worker.adapters.kafka.publisher import KafkaPublisher
from worker.app import Worker
from worker.events import Exchange
from worker.parts import DEMONSTRATION, build_guard, build_judging, demonstration_model
from worker.records import OutgoingRecord
from worker.settings import load_settings

app = typer.Typer()
_TOPICS = ["chat-events", "moderation-verdicts", "moderation-dead-letters"]
_WARM_UP = 64


def _exchanges(count: int) -> list[Exchange]:
    return [Exchange(prompt=e.prompt, response=e.response) for e in compose("held_out", count, 7)]


@app.command()
def worker(count: int) -> None:
    """Time the worker: from its first received record to its last acknowledged outcome."""
    typer.echo(json.dumps(asyncio.run(_worker(count))))


async def _worker(count: int) -> dict[str, Any]:
    async with Broker() as broker:
        settings = load_settings(
            kafka={"bootstrap_servers": broker.bootstrap_servers},
            engine={"model": DEMONSTRATION},
            health={"port": 0},
        )
        judging = build_judging(settings)
        await judging.start()
        worker = Worker(settings, judging)
        connection = worker.connection
        await create_topics(connection, _TOPICS, partitions=4)
        publisher = KafkaPublisher(connection, topics=_TOPICS[:1])
        await publisher.start()

        async def produce(exchanges: list[Exchange]) -> None:
            values = [orjson.dumps(e.model_dump()) for e in exchanges]
            await publisher.publish_all(
                [OutgoingRecord(_TOPICS[0], str(n).encode(), v, ()) for n, v in enumerate(values)]
            )

        async def until(outcomes: int) -> None:
            while sum(worker.outcomes.values()) < outcomes:  # noqa: ASYNC110 - a plain poll
                await asyncio.sleep(0.005)

        running = asyncio.create_task(worker.run())
        await produce(_exchanges(_WARM_UP))
        await until(_WARM_UP)
        started = time.perf_counter()
        await produce(_exchanges(count))
        await until(_WARM_UP + count)
        seconds = time.perf_counter() - started
        worker.stop()
        await running
        await publisher.stop()
        await judging.stop()
    return {"seconds": seconds, "events_per_second": count / seconds}


@app.command()
def engine(count: int) -> None:
    """Time `LLM.generate`."""
    from worker.adapters.vllm.engine import ENVIRONMENT, ON_CPU  # noqa: PLC0415
    from worker.adapters.vllm.tokenizer import JsonTokenizer  # noqa: PLC0415

    os.environ.update(ENVIRONMENT)
    from vllm import LLM, SamplingParams  # noqa: PLC0415 - 20 s of CPU

    settings = load_settings()
    guard = build_guard(settings)
    tokenizer = JsonTokenizer.load(demonstration_model())
    llm = LLM(
        demonstration_model(),
        max_num_seqs=settings.engine.max_num_seqs,
        generation_config="vllm",
        **ON_CPU,
    )
    sampling = SamplingParams(
        temperature=0.0,
        max_tokens=400,
        stop_token_ids=[tokenizer.token_id(name) for name in guard.stop_tokens],
    )

    def generate(exchanges: list[Exchange]) -> None:
        prompts = [guard.render(e.prompt, e.response) for e in exchanges]
        ids = asyncio.run(tokenizer.encode(prompts, 2048))
        llm.generate([{"prompt_token_ids": i} for i in ids if i], sampling, use_tqdm=False)

    generate(_exchanges(_WARM_UP))
    started = time.perf_counter()
    generate(_exchanges(count))
    seconds = time.perf_counter() - started
    typer.echo(json.dumps({"seconds": seconds, "events_per_second": count / seconds}))


@app.command()
def compare(
    count: Annotated[int, typer.Option(help="Events a round.")] = 2000,
    rounds: Annotated[int, typer.Option(help="Rounds of each.")] = 3,
) -> None:
    """Time both in turn, and print the ratio."""
    rates: dict[str, list[float]] = {"engine": [], "worker": []}
    for _ in range(rounds):
        for name, found in rates.items():
            command = [sys.executable, "-m", "benchmarks.engine_ratio", name, str(count)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
            line = next(s for s in reversed(output.splitlines()) if s.startswith("{"))
            found.append(json.loads(line)["events_per_second"])
            typer.echo(f"{name}: {found[-1]:.1f} events/s")
    medians = {name: statistics.median(found) for name, found in rates.items()}
    typer.echo(f"worker / engine alone = {medians['worker'] / medians['engine']:.3f} (medians)")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    app()
