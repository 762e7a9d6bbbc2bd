"""R-SFT: a fine-tune on the instruction and the exchange, towards the reasoning and the answers.

The loss is on the completion alone, and no two rows are packed into one. A share of the rows is
also learnt with the answers first.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed
from trl import SFTConfig

from training.answer_first import encode_answers, is_answer_first
from training.config import Config, Training
from training.loop import Keeping, accumulate, last_checkpoint, set_threads, trainer_arguments
from training.models import (
    base_model,
    build_guard,
    encoding_tokenizer,
    load_model,
    load_tokenizer,
    lora_config,
    make_model,
    make_tokenizer,
    save_model,
    space_needed,
)
from training.optimizer import MuonWithAdamW
from training.rows import Encoder, Row, data_path, read_events, read_rows
from training.runs import Run, require_space
from training.trainer import SharedPrefixTrainer, TwoFormsTrainer
from worker.domain.errors import UnusableFile
from worker.domain.guard import Guard, first_prompt

_TOKENIZER_ROWS = 6000
# the model of the ablation, which has never answered first
REASONING_ONLY = "reasoning-only"


@dataclass(frozen=True, slots=True)
class Base:
    """What a training begins with, and how its rows are encoded."""

    guard: Guard
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    encoder: Encoder


def run_sft(run: Run, config: Config) -> dict[str, Any]:
    """Train on all rows with a completion; returns the summary."""
    path = data_path(run, config, "train")
    assert path is not None  # noqa: S101 - `Data` requires it
    rows = read_rows(path)
    # what would fail at the end of the night is found now
    for purpose in ("mine", "held_out", "adversarial"):
        other = data_path(run, config, purpose)
        if other is not None and other != path:
            read_events(other)
    learnable(path, rows)
    share = config.sft.answer_first_share
    facts = train_guard(run, config, "sft", rows, answer_first_share=share)
    if config.sft.ablation and share:
        facts["ablation"] = train_guard(run, config, REASONING_ONLY, rows, answer_first_share=0)
    return facts


def learnable(path: Path, rows: Sequence[Row]) -> list[Row]:
    """The rows that have a completion to learn.

    Raises:
        UnusableFile: there is none.
    """
    found = [row for row in rows if row.completion is not None]
    if not found:
        raise UnusableFile(f"{path} has no row with a completion: there is nothing to learn.")
    return found


def train_guard(
    run: Run, config: Config, name: str, rows: Sequence[Row], *, answer_first_share: float
) -> dict[str, Any]:
    """Train a model on these rows and save it under this name; resumes from a checkpoint.

    A share of the rows is also learnt with the answers first, those without a completion only so.
    """
    set_seed(config.seed)
    set_threads(config)
    chosen = config.sft
    reasoned = [row for row in rows if row.completion is not None]
    base = _base(run, config, reasoned)
    require_space(run.folder, space_needed(base.model))
    encoded = encode_rows(base.encoder, reasoned, chosen)
    if not encoded:
        raise UnusableFile(
            f"All {len(reasoned)} rows have more than sft.max_tokens ({chosen.max_tokens}) tokens."
        )
    answered = [
        row for row in rows if is_answer_first(row.event.id, answer_first_share, config.seed)
    ]
    answers = encode_answers(base.encoder, answered, chosen.max_tokens)
    optimizer = None
    if chosen.muon_learning_rate is not None:
        optimizer = MuonWithAdamW(
            base.model,
            matrix_learning_rate=chosen.muon_learning_rate,
            learning_rate=chosen.learning_rate,
            weight_decay=0.01,
        )
    arguments = SFTConfig(
        **trainer_arguments(run, config, chosen, name),
        max_length=None,
        packing=False,
        completion_only_loss=True,
    )
    accumulate(arguments, chosen, len(encoded), len(answers))
    kind = SharedPrefixTrainer if chosen.shared_prefix else TwoFormsTrainer
    trainer = kind(
        model=base.model,
        args=arguments,
        train_dataset=Dataset.from_list([*encoded, *answers]),
        processing_class=base.tokenizer,
        optimizers=(optimizer, None),
        peft_config=lora_config(config.model.lora),
        callbacks=[Keeping(run, name)],
        answers_from=len(encoded),
    )
    facts = {
        "rows": len(encoded),
        "too_long": len(reasoned) - len(encoded),
        "answer_first": len(answers),
    }
    return facts | train_and_save(trainer, run, config, name, base)


def train_and_save(trainer: Any, run: Run, config: Config, name: str, base: Base) -> dict[str, Any]:
    """Run a trainer to its end and keep the model under this name."""
    began, cpu = time.monotonic(), time.process_time()
    checkpoint = last_checkpoint(run, name)
    trainer.train(resume_from_checkpoint=checkpoint)
    model = trainer.accelerator.unwrap_model(trainer.model)
    state = trainer.accelerator.get_state_dict(trainer.model)
    if config.model.lora is not None:
        model = model.merge_and_unload()
        state = model.state_dict()
    if trainer.is_world_process_zero():
        dtype = torch.bfloat16 if config.model.saved_as == "bfloat16" else torch.float32
        save_model(model, state, base.tokenizer, base.guard, run.model(name), dtype)
    trainer.accelerator.wait_for_everyone()
    return {
        "parameters": model.num_parameters(),
        "steps": trainer.state.global_step,
        "resumed": checkpoint is not None,
        "seconds": round(time.monotonic() - began),
        "cpu_seconds": round(time.process_time() - cpu),
    }


def load_base(path: str, revision: str | None, config: Config) -> Base:
    """A model that is there, and how it encodes."""
    guard = build_guard(config)
    encoder = Encoder(guard, encoding_tokenizer(path, revision))
    return Base(guard, load_model(path, revision), load_tokenizer(path, revision), encoder)


def _base(run: Run, config: Config, rows: Sequence[Row]) -> Base:
    path, shape = base_model(config), config.model.from_scratch
    if path is not None:
        return load_base(path, config.model.revision, config)
    assert shape is not None  # noqa: S101 - `Model` requires one of the two
    guard, folder = build_guard(config), run.folder / "tokenizer"
    with PartialState(cpu=not torch.cuda.is_available()).main_process_first():
        if not folder.is_dir():
            make_tokenizer(shape, _texts(guard, rows[:_TOKENIZER_ROWS]), folder)
    tokenizer = load_tokenizer(str(folder), None)
    encoder = Encoder(guard, encoding_tokenizer(str(folder), None))
    return Base(guard, make_model(shape, tokenizer), tokenizer, encoder)


def _texts(guard: Guard, rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        exchange = row.event.exchange
        yield first_prompt(guard, exchange).text
        yield row.completion or ""


def encode_rows(encoder: Encoder, rows: Sequence[Row], chosen: Training) -> list[dict[str, Any]]:
    """Rows as the trainer takes them, without those that are too long."""
    limit = chosen.max_tokens
    prompts = encoder.prompts([row.event for row in rows], limit)
    completions = encoder.completions([row.completion or "" for row in rows], limit)
    encoded = []
    for prompt, completion in zip(prompts, completions, strict=True):
        if prompt is None or completion is None or len(prompt) + len(completion) > limit:
            continue
        mask = [0] * len(prompt) + [1] * len(completion)
        encoded.append({"input_ids": [*prompt, *completion], "completion_mask": mask})
    return encoded


def subset(rows: Sequence[Row], share: float, seed: int) -> list[Row]:
    """A part of the rows, the same for the same seed; never none of them."""
    return random.Random(f"subset-{seed}").sample(list(rows), max(1, round(share * len(rows))))
