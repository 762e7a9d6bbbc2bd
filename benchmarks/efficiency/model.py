"""Which model both sides run: the guard that ships, or on a GPU one of GuardReasoner-3B's shape."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.runtime.engines import DEMONSTRATION, demonstration_model

# Llama-3.2-3B, of which GuardReasoner-3B is a fine-tune
SHAPE_3B: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "dtype": "bfloat16",
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_act": "silu",
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-05,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "tie_word_embeddings": True,
    "attention_bias": False,
    "mlp_bias": False,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
# what a guard writes of an exchange; a model of random weights never ends by itself
COMPLETION_TOKENS = 258
_DEMONSTRATION: dict[str, Any] = {
    "model": DEMONSTRATION,
    "max_tokens": 400,
    # twice the demonstration's cache: 256 concurrent exchanges without recomputation
    "extra": {"kv_cache_memory_bytes": 512 << 20},
}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Model:
    """What is run, in words, and the settings of `engine` that run it, alike on both sides."""

    words: str
    settings: dict[str, Any]


def choose_model(folder: Path) -> Model:
    """The guard that ships where torch sees no GPU; else the larger shape, written to `folder`."""
    import torch  # noqa: PLC0415 - some seconds

    if not torch.cuda.is_available():
        return Model("the demonstration guard on the CPU", _DEMONSTRATION)
    write_shape(folder)
    return Model(
        f"GuardReasoner-3B's shape with random weights on one {torch.cuda.get_device_name(0)}, "
        f"{COMPLETION_TOKENS} tokens a completion",
        shape_settings(folder),
    )


def shape_settings(folder: Path) -> dict[str, Any]:
    """Settings of `engine` for the shape in `folder`; both sides are in memory at once."""
    return {
        "model": str(folder),
        "max_tokens": COMPLETION_TOKENS,
        "max_model_len": 4096,
        "gpu_memory_utilization": 0.42,
        "extra": {"load_format": "dummy"},
    }


def write_shape(
    folder: Path, tokenizer: Path | None = None, changes: dict[str, Any] | None = None
) -> None:
    """Write a model folder without weights.

    Args:
        folder: exists.
        tokenizer: a folder; by default the demonstration guard's, whose ids fit.
        changes: to the configuration of the 3B shape.
    """
    shape = SHAPE_3B | (changes or {})
    (folder / "config.json").write_text(json.dumps(shape, indent=2) + "\n")
    for name in _TOKENIZER_FILES:
        shutil.copy((tokenizer or Path(demonstration_model())) / name, folder / name)
