"""The engines that `engine.kind` names."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from worker.adapters.clock import SystemClock
from worker.adapters.simulated import Behaviour, SimulatedEngine
from worker.adapters.vllm.engine import VllmEngine
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.domain.engines import Engine
from worker.runtime.settings import Settings

DEMONSTRATION = "demonstration"
_DEMONSTRATION_MAX_TOKENS = 400


@dataclass(frozen=True, slots=True)
class Model:
    """What an engine loads.

    Attributes:
        place: a folder, or a name at Hugging Face.
        max_tokens: of a completion.
        seed: of requests with a temperature.
    """

    place: str
    tokenizer: JsonTokenizer
    max_tokens: int
    seed: int = 0


def demonstration_model() -> str:
    """The folder of the guard that ships with the package."""
    return str(resources.files("worker") / "models" / "demonstration")


def model_place(model: str) -> str:
    """The folder or the name at Hugging Face of a value of `engine.model`."""
    return demonstration_model() if model == DEMONSTRATION else model


def loaded_place(settings: Settings) -> str:
    """Where tokenizer and chat template come from; a simulated engine downloads nothing."""
    chosen = settings.engine
    is_here = chosen.kind != "simulated" or Path(chosen.model).is_dir()
    return model_place(chosen.model if is_here else DEMONSTRATION)


def load_model(settings: Settings, seed: int = 0) -> Model:
    """The model of the settings, by its tokenizer; the engine loads the rest.

    Raises:
        EngineUnavailable: the model is not there.
    """
    chosen = settings.engine
    ships = chosen.model == DEMONSTRATION
    place = loaded_place(settings)
    max_tokens = min(chosen.max_tokens, _DEMONSTRATION_MAX_TOKENS) if ships else chosen.max_tokens
    tokenizer = JsonTokenizer.load(place, chosen.revision, adds_controls=chosen.kind == "simulated")
    return Model(place, tokenizer, max_tokens, seed)


def _simulated(settings: Settings, model: Model) -> Engine:
    chosen = settings.engine
    return SimulatedEngine(
        behaviour=Behaviour(**chosen.simulated.model_dump(exclude={"allowed"})),
        clock=SystemClock(),
        max_num_seqs=chosen.max_num_seqs,
        max_model_len=chosen.max_model_len or 8192,
        max_tokens=model.max_tokens,
    )


def _vllm(settings: Settings, model: Model) -> Engine:
    chosen = settings.engine
    return VllmEngine(
        model=model.place,
        revision=chosen.revision,
        tokenizer=model.tokenizer,
        max_tokens=model.max_tokens,
        max_num_seqs=chosen.max_num_seqs,
        max_model_len=chosen.max_model_len,
        gpu_memory_utilization=chosen.gpu_memory_utilization,
        otlp_endpoint=settings.telemetry.otlp_endpoint,
        extra={**_scheduling(settings), **chosen.extra},
        seed=model.seed,
    )


def _scheduling(settings: Settings) -> dict[str, Any]:
    """Reasoning goes before new scores while its prompt is still in the prefix cache."""
    is_cascade = settings.judging.reasoning in ("unsure", "flagged")
    return {"scheduling_policy": "priority"} if is_cascade else {}


ENGINES: dict[str, Callable[[Settings, Model], Engine]] = {
    "vllm": _vllm,
    "simulated": _simulated,
}
