"""The two sides on a GPU, each a process that loads its engine once and answers requests.

`python -m benchmarks.gpu.sides worker|engine GIVEN`: GIVEN is JSON, the settings `engine` and the
lengths of completions. A line of JSON on stdin is a request, `{"do": NAME, ...}`; a line on stdout
is its answer. Prompts follow from the seed of a request: both sides get the same ones, and no
request finds its prompts in the prefix cache.
"""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.gpu.forced import Lengths
from worker.guards.guardreasoner.cascade import ScoringPlan
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.guards.guardreasoner.reasoning import ReasoningPlan
from worker.runtime.settings import Settings, load_settings

# what a machine without flashinfer and without a network needs
ENVIRONMENT = {
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    "HF_HUB_OFFLINE": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}


def guard_of(mode: str) -> GuardReasoner:
    """The guard in a mode of `judging.reasoning`; uncalibrated, `unsure` always reasons."""
    plan = ScoringPlan(mode=mode, least_mass=0.0)  # type: ignore[arg-type]
    return GuardReasoner("raw", ReasoningPlan(), plan)


def settings_of(given: dict[str, Any]) -> Settings:
    """The settings of a worker with this engine; its topics are in memory."""
    return load_settings(engine=given["engine"], health={"port": 0})


def lengths_of(given: dict[str, Any]) -> Lengths:
    """The lengths of completions that were given."""
    return Lengths(**given["lengths"])


async def serve(answer: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> None:
    """Answer the requests on stdin until it is closed."""
    tell({"ready": True})
    while line := await asyncio.to_thread(sys.stdin.readline):
        tell(await answer(json.loads(line)))


def tell(figures: dict[str, Any]) -> None:
    """Write an answer."""
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


def main(side: str, given: dict[str, Any]) -> None:
    """Run a side until its stdin is closed."""
    os.environ.update(ENVIRONMENT)
    logging.disable(logging.INFO)
    if side == "worker":
        from benchmarks.gpu.worker_side import run  # noqa: PLC0415 - one engine per process
    else:
        from benchmarks.gpu.engine_side import run  # noqa: PLC0415
    asyncio.run(run(given))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main(sys.argv[1], json.loads(sys.argv[2]))
