"""The side of the worker: its pipeline on topics in memory, with vLLM in this process."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.efficiency.rounds import ProcessorTime, exchanges_of, figures_of
from benchmarks.gpu.forced import ForcedEngine
from benchmarks.gpu.memory_worker import arrivals, backlog, stream, values_of
from benchmarks.gpu.sides import guard_of, lengths_of, serve, settings_of
from worker.adapters.clock import SystemClock
from worker.domain.verdicts import reference_to
from worker.engine.retry import RetryPolicy
from worker.engine.supervisor import SupervisedEngine, SupervisionPolicy
from worker.flow.asking import Asker, AskingPolicy
from worker.flow.judge import Judge
from worker.runtime.build import Judging
from worker.runtime.decoding import build_decoder
from worker.runtime.engines import Model, load_model
from worker.runtime.exporters import Exporters
from worker.runtime.guards import BuiltGuard
from worker.runtime.settings import Settings


@dataclass(frozen=True)
class Side:
    """The worker in each mode, with one engine for all."""

    settings: Settings
    judgings: dict[str, Judging]

    async def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Judge a backlog (`backlog`) or a stream of arrivals (`stream`)."""
        judging = self.judgings[asked["mode"]]
        values = values_of(exchanges_of(asked["count"], asked["seed"]))
        if asked["do"] == "stream":
            due = list(arrivals(asked["rate"], asked["count"], asked["seed"]))
            ages = await stream(
                values, due, self.settings, judging.judge, judging.exporters.telemetry
            )
            # the first ones find an idle engine
            return {"rate": asked["rate"], "count": len(values)} | quantiles(ages[len(ages) // 4 :])
        used = ProcessorTime()
        seconds, verdicts = await backlog(
            values, self.settings, judging.judge, judging.exporters.telemetry
        )
        usages = [verdict["usage"] for verdict in verdicts]
        tokens = [(usage["prompt_tokens"], usage["completion_tokens"]) for usage in usages]
        return figures_of(len(values), seconds, used.passed(), tokens) | {
            "cached_tokens": sum(usage["cached_tokens"] for usage in usages),
            "requests": sum(usage["requests"] for usage in usages),
        }


def quantiles(ages: Sequence[float]) -> dict[str, float]:
    """The median and the 99th percentile, in milliseconds."""
    cuts = statistics.quantiles(ages, n=100, method="inclusive")
    return {"p50_ms": round(1000 * cuts[49], 1), "p99_ms": round(1000 * cuts[98], 1)}


async def run(given: dict[str, Any]) -> None:
    """Load the engine, and answer requests."""
    settings = settings_of(given)
    model = load_model(settings)
    began = time.perf_counter()
    side = Side(settings, _judgings(settings, model, given))
    first = next(iter(side.judgings.values()))
    await first.start()
    try:
        print(f"worker: the engine is loaded, {time.perf_counter() - began:.0f} s", flush=True)
        await serve(side.answer)
    finally:
        await first.stop()


def _judgings(settings: Settings, model: Model, given: dict[str, Any]) -> dict[str, Judging]:
    chosen, clock = settings.engine, SystemClock()
    exporters = Exporters(settings, guard_of("always").questions)
    engine = SupervisedEngine(
        ForcedEngine(
            lengths=lengths_of(given),
            model=model.place,
            revision=None,
            tokenizer=model.tokenizer,
            max_tokens=model.max_tokens,
            max_num_seqs=chosen.max_num_seqs,
            max_model_len=chosen.max_model_len,
            gpu_memory_utilization=chosen.gpu_memory_utilization,
            extra=chosen.extra,
        ),
        policy=SupervisionPolicy(chosen.stall_seconds),
        clock=clock,
        telemetry=exporters.telemetry,
    )
    found = {}
    for mode in given["modes"]:
        guard = guard_of(mode)
        judge = Judge(
            guard=guard,
            guard_reference=reference_to(guard, "GuardReasoner-3B's shape", None),
            asker=Asker(
                engine=engine,
                tokenizer=model.tokenizer,
                telemetry=exporters.telemetry,
                clock=clock,
                policy=AskingPolicy(
                    chosen.request_timeout_seconds, RetryPolicy(attempts=chosen.attempts)
                ),
            ),
            decoder=build_decoder(settings),
            clock=clock,
        )
        found[mode] = Judging(BuiltGuard(guard), engine, judge, exporters, settings.in_flight_limit)
    return found
