"""What both sides of a comparison share: the exchanges of a round, CPU by process, figures."""

from collections.abc import Callable, Sequence
from typing import Any

import psutil  # type: ignore[import-untyped]

from training.exchanges import compose
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.domain.engines import EngineRequest
from worker.domain.events import Exchange
from worker.domain.guard import Guard, first_request
from worker.runtime.settings import Settings


class ProcessorTime:
    """CPU seconds of this process, of the broker, of the engine and of all else, since then."""

    def __init__(self) -> None:
        self._before = self._now()

    def passed(self) -> dict[str, float]:
        """Seconds by whose they are; of what is not there, 0."""
        passed = {name: now - self._before[name] for name, now in self._now().items()}
        passed["elsewhere"] -= sum(passed[name] for name in ("client", "broker", "engine"))
        return {name: round(seconds, 2) for name, seconds in passed.items()}

    def _now(self) -> dict[str, float]:
        here = psutil.Process()
        seconds = {"client": sum(here.cpu_times()[:2]), "broker": 0.0, "engine": 0.0}
        for child in here.children(recursive=True):
            seconds["broker" if child.name() == "java" else "engine"] += sum(child.cpu_times()[:2])
        machine = psutil.cpu_times()
        return seconds | {"elsewhere": sum(machine) - machine.idle - machine.iowait}


def exchanges_of(count: int, seed: int) -> list[Exchange]:
    """The exchanges of a round: the same ones for the same seed."""
    composed = compose("held_out", count, seed)
    return [Exchange(prompt=e.prompt, response=e.response) for e in composed]


def figures_of(
    count: int, seconds: float, cpu: dict[str, float], tokens: list[tuple[int, int]]
) -> dict[str, Any]:
    """The figures of a round, from the tokens of each prompt and completion.

    Raises:
        SystemExit: not every exchange was answered.
    """
    if len(tokens) != count:
        raise SystemExit(f"{len(tokens)} of {count} events were answered; this is no measure.")
    return {
        "events_per_second": round(count / seconds, 2),
        "seconds": round(seconds, 3),
        "cpu_seconds": cpu,
        "prompt_tokens": sum(prompt for prompt, _ in tokens),
        "completion_tokens": sum(completion for _, completion in tokens),
    }


def sampling_of(
    guard: Guard,
    exchanges: Sequence[Exchange],
    tokenizer: JsonTokenizer,
    max_tokens: int,
    change: Callable[[EngineRequest], EngineRequest] = lambda request: request,
) -> list[Any]:
    """VLLM's sampling parameters for each exchange: exactly what the worker asks for first.

    Args:
        guard: asks the same of all exchanges with a response, and of all without one.
        exchanges: of a round.
        tokenizer: of the model.
        max_tokens: of a completion.
        change: of a request, before it is asked.
    """
    from worker.adapters.vllm.request_options import RequestOptions  # noqa: PLC0415 - vLLM

    found: dict[bool, Any] = {}
    for exchange in exchanges:
        if (kind := exchange.response is None) not in found:
            request = change(first_request(guard, exchange))
            found[kind] = RequestOptions(request, tokenizer, max_tokens).parameters
    return [found[exchange.response is None] for exchange in exchanges]


def offline_arguments(settings: Settings, *, on_cpu: bool) -> dict[str, Any]:
    """Arguments of vLLM's `LLM` for the engine that the settings describe."""
    from worker.adapters.vllm.engine import ON_CPU  # noqa: PLC0415

    chosen = settings.engine
    arguments: dict[str, Any] = {
        "max_num_seqs": chosen.max_num_seqs,
        "max_model_len": chosen.max_model_len,
        "gpu_memory_utilization": chosen.gpu_memory_utilization,
        "generation_config": "vllm",
    }
    return arguments | (ON_CPU if on_cpu else {}) | chosen.extra
