"""The model that a step trains: loaded or made, and saved as the worker's engine loads it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training.config import Config, FromScratch, Lora
from training.runs import write_folder
from training.tokenizer import BEGIN, train_tokenizer
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.domain.errors import EngineUnavailable, UnusableFile
from worker.domain.events import Exchange
from worker.domain.guard import Guard, first_request
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.runtime.engines import DEMONSTRATION, demonstration_model

# weights in float32, their gradients and AdamW's two moments
_TRAINED_BYTES_PER_PARAMETER = 12


def build_guard(config: Config) -> Guard:
    """Whose prompts and readings the run trains for."""
    return GuardReasoner(config.prompt_form)


def base_model(config: Config) -> str | None:
    """The folder or name that training begins with; None from scratch."""
    path = config.model.path
    return demonstration_model() if path == DEMONSTRATION else path


def load_tokenizer(path: str, revision: str | None) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or name, able to pad.

    Raises:
        EngineUnavailable: it is not available.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path, revision=revision)
    except (OSError, ValueError) as error:
        raise EngineUnavailable(_unavailable(path, error)) from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(path: str, revision: str | None = None) -> PreTrainedModel:
    """The model of a folder or name, its weights in float32.

    Raises:
        EngineUnavailable: it is not available.
    """
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            path, revision=revision, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        raise EngineUnavailable(_unavailable(path, error)) from None
    return model


def _unavailable(path: str, error: Exception) -> str:
    return (
        f"The model {path} is not available ({type(error).__name__}); look at model.path,"
        " model.revision and the connection to Hugging Face."
    )


def make_tokenizer(shape: FromScratch, texts: Iterable[str], folder: Path) -> None:
    """Train a tokenizer on these texts, and keep it."""
    tokenizer = train_tokenizer(texts, shape.vocabulary)
    write_folder(folder, tokenizer.save_pretrained)


def make_model(shape: FromScratch, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A Llama with random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.intermediate,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            head_dim=shape.head_size,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.convert_tokens_to_ids(BEGIN),
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def lora_config(chosen: Lora | None) -> Any:
    """What TRL's trainers take for adapters; None for a full fine-tune.

    Raises:
        UnusableFile: peft is not installed.
    """
    if chosen is None:
        return None
    try:
        from peft import LoraConfig  # noqa: PLC0415 - an option: only this needs it
    except ImportError:
        raise UnusableFile("LoRA needs peft: pip install 'guardstream[train]'.") from None
    return LoraConfig(
        r=chosen.rank,
        lora_alpha=chosen.alpha,
        lora_dropout=chosen.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def space_needed(model: PreTrainedModel) -> int:
    """Bytes on the disk for two checkpoints and what is saved at the end."""
    return int(model.num_parameters()) * (2 * _TRAINED_BYTES_PER_PARAMETER + 4)


def save_model(
    model: PreTrainedModel,
    state: dict[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerBase,
    guard: Guard,
    folder: Path,
    dtype: torch.dtype,
) -> None:
    """Write weights and tokenizer as the engine loads them.

    `state` are the weights, gathered from wherever they lay.
    """
    if model.config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    stored = {name: tensor.to("cpu", dtype).contiguous() for name, tensor in state.items()}
    request = first_request(guard, Exchange("", None))
    ends = [tokenizer.convert_tokens_to_ids(name) for name in request.stop_tokens]
    model.generation_config = GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.config.dtype = dtype

    def fill(beside: Path) -> None:
        model.save_pretrained(beside, state_dict=stored)
        tokenizer.save_pretrained(beside)

    write_folder(folder, fill)


def encoding_tokenizer(path: str, revision: str | None) -> JsonTokenizer:
    """The tokenizer as the worker has it."""
    return JsonTokenizer.load(path, revision)
