"""What a measurement runs: the model, the engine, and how much of each."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.efficiency.model import COMPLETION_TOKENS, shape_settings, write_shape

# " unharmful", "\nCompletion: refusal" and "\nResponse: unharmful" with the token that ends them
_ANSWER_TOKENS = 13
_NGRAM = {
    "method": "ngram",
    "num_speculative_tokens": 4,
    "prompt_lookup_min": 2,
    "prompt_lookup_max": 4,
}
_TWO_LAYERS = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
}


@dataclass(frozen=True)
class Plan:
    """The sizes of a measurement.

    Attributes:
        model: in words.
        given: what a side is started with.
        warm_up: exchanges of the first round, by whose rate the others are sized.
        round_seconds: of a round.
        rounds: of each mode, of both sides.
        prompt: tokens of a prompt that is only read.
        sequences: numbers of completions that are written at once.
        load_seconds: of arrivals at 80 % load.
    """

    model: str
    given: dict[str, Any]
    warm_up: int = 512
    round_seconds: float = 15.0
    rounds: int = 3
    prompt: int = 512
    sequences: tuple[int, ...] = (1, 16, 256)
    load_seconds: float = 30.0
    completion: int = COMPLETION_TOKENS
    speculation: dict[str, Any] = field(default_factory=lambda: dict(_NGRAM))

    def sized(self, rate: float) -> int:
        """How many exchanges make a round at this rate."""
        return max(self.warm_up // 2, int(rate * self.round_seconds))


def full(folder: Path, tokenizer: Path) -> Plan:
    """GuardReasoner-3B's shape and lengths."""
    write_shape(folder, tokenizer)
    return Plan("GuardReasoner-3B's shape with random weights", _given(folder, COMPLETION_TOKENS))


def rehearsal(folder: Path, tokenizer: Path) -> Plan:
    """Two small layers and short completions: the same steps, on a CPU, in minutes."""
    write_shape(folder, tokenizer, _TWO_LAYERS)
    tokens = 16
    given = _given(folder, tokens)
    given["engine"] |= {"max_num_seqs": 16, "max_model_len": 2048}
    given["engine"]["extra"] |= {"kv_cache_memory_bytes": 256 << 20, "max_num_batched_tokens": 2048}
    return Plan(
        "a rehearsal's two layers with random weights",
        given,
        warm_up=24,
        round_seconds=3.0,
        rounds=2,
        prompt=64,
        sequences=(1, 16),
        load_seconds=5.0,
        completion=tokens,
    )


def _given(folder: Path, tokens: int) -> dict[str, Any]:
    engine = json.loads(json.dumps(shape_settings(folder))) | {"max_tokens": tokens}
    # as a worker sets it where reasoning goes before new scores
    engine["extra"]["scheduling_policy"] = "priority"
    return {
        "engine": engine,
        "lengths": {"reasoning": tokens, "answers": min(_ANSWER_TOKENS, tokens)},
        "modes": ["always", "never", "unsure"],
    }
