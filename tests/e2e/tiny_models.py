"""Models of the architectures of guards: two layers with random weights, which judge nothing."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.unit.guards.built_in_templates import KINDS
from tests.unit.test_word_marks import KINDS as SENTENCE_PIECE
from worker.guards.declared.loading import path_of, read_description
from worker.runtime.engines import demonstration_model

_SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
_ROUND = 64
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Family(NamedTuple):
    """An architecture, as transformers calls it, and the guard that is tried with it."""

    model_type: str
    guard: str
    config: Mapping[str, Any] = NOTHING
    sentence_piece: str | None = None
    options: Mapping[str, Any] = NOTHING


FAMILIES = {
    "Llama": Family("llama", "llama-guard"),
    "Qwen3": Family("qwen3", "qwen3guard"),
    "Granite": Family("granite", "granite-guardian-4.1", options={"criteria": {"spam": "Spam."}}),
    "Gemma 3": Family(
        "gemma3_text",
        "nemotron-content-safety",
        {"query_pre_attn_scalar": 32, "sliding_window": 64},
    ),
    # words begin with a mark, so that labels in an answer have other tokens than at its start
    "Mistral": Family("mistral", "wildguard", {"sliding_window": None}, "legacy"),
    "gpt-oss": Family(
        "gpt_oss",
        "gpt-oss-safeguard",
        {
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "sliding_window": 64,
            "tie_word_embeddings": False,
        },
    ),
}


def write_model(folder: Path, family: Family) -> str:
    """The files of a model that vLLM loads."""
    size = _write_tokenizer(folder, family)
    from torch import manual_seed  # noqa: PLC0415 - seconds
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415

    config = AutoConfig.for_model(
        family.model_type,
        **(_SMALL | dict(family.config) | {"vocab_size": -(-size // _ROUND) * _ROUND}),
    )
    manual_seed(0)
    AutoModelForCausalLM.from_config(config).float().save_pretrained(folder)
    return str(folder)


def _write_tokenizer(folder: Path, family: Family) -> int:
    """The number of tokens."""
    if family.sentence_piece is None:
        text = Path(demonstration_model(), "tokenizer.json").read_text("utf-8")
    else:
        text = SENTENCE_PIECE[family.sentence_piece].to_str()
    held = json.loads(text)
    known = {one["content"] for one in held["added_tokens"]} | held["model"]["vocab"].keys()
    ids = [*held["model"]["vocab"].values(), *(one["id"] for one in held["added_tokens"])]
    calls = read_description(path_of(family.guard)).calls
    kind = KINDS.get(family.guard)
    named = [*(kind.special + kind.plain if kind else ())]
    for call in calls:
        named += [*call.control, *call.stop_tokens]
    for number, name in enumerate(
        (one for one in dict.fromkeys(named) if one not in known), max(ids) + 1
    ):
        ids.append(number)
        held["added_tokens"].append(
            {"id": number, "content": name, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": kind is None or name in kind.special}
        )  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(held), "utf-8")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **(kind.tokens if kind else {})}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    if kind is not None:
        (folder / "chat_template.jinja").write_text(kind.source, "utf-8")
    return max(ids) + 1
