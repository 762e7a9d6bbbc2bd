"""Trains the demonstration guard from scratch: R-SFT in miniature (arXiv:2501.18492, section 3.2).

The loss is on the completion alone. No exchange is shown twice: more exchanges teach more than
more epochs, and they cost nothing.
"""

import json
import platform
import shutil
import time
from pathlib import Path
from typing import Annotated

import torch
import transformers
import trl
import typer
from datasets import Dataset
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, set_seed
from trl import SFTConfig

from training.card import model_card
from training.evaluation import Scores, evaluate
from training.exchanges import LabelledExchange, compose
from training.optimizer import MuonWithAdamW
from training.tokenizer import BEGIN, END, END_OF_TURN, train_tokenizer
from training.trainer import SharedPrefixTrainer
from worker.guards.guardreasoner import GuardReasoner

_GUARD = GuardReasoner()
_VOCABULARY = 2048
_BATCH = 16
# of Muon for the layers' matrices, and of AdamW for the embeddings and norms
_MATRIX_LEARNING_RATE = 0.02
_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 0.01


def main(
    output: Annotated[Path, typer.Argument(help="Folder for the weights and their figures.")],
    exchanges: Annotated[int, typer.Option(help="How many to train on.")] = 28_000,
    held_out: Annotated[int, typer.Option(help="How many to score on.")] = 1_000,
    seed: int = 20_251,
) -> None:
    """Compose, train, score, save."""
    set_seed(seed)
    started = time.monotonic()
    examples = compose("train", exchanges, seed)
    tokenizer = train_tokenizer(
        (text for e in examples[:6000] for text in (_prompt(e), e.completion)), _VOCABULARY
    )
    end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    begin = tokenizer.convert_tokens_to_ids(BEGIN)

    def tokenized(example: LabelledExchange) -> dict[str, list[int]]:
        # encoded apart, as the engine will meet them
        prompt = [begin, *tokenizer.encode(_prompt(example), add_special_tokens=False)]
        answer = [*tokenizer.encode(example.completion, add_special_tokens=False), end]
        return {
            "input_ids": prompt + answer,
            "completion_mask": [0] * len(prompt) + [1] * len(answer),
        }

    dataset = Dataset.from_list([tokenized(example) for example in examples])
    config = LlamaConfig(
        vocab_size=_VOCABULARY,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        head_dim=32,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=begin,
        eos_token_id=end,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    optimizer = MuonWithAdamW(
        model,
        matrix_learning_rate=_MATRIX_LEARNING_RATE,
        learning_rate=_LEARNING_RATE,
        weight_decay=_WEIGHT_DECAY,
    )
    trainer = SharedPrefixTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(output / "checkpoints"),
            num_train_epochs=1,
            per_device_train_batch_size=_BATCH,
            learning_rate=_LEARNING_RATE,
            lr_scheduler_type="cosine",
            warmup_steps=60,
            train_sampling_strategy="group_by_length",
            max_length=1024,
            completion_only_loss=True,
            bf16=False,
            use_cpu=not torch.cuda.is_available(),
            gradient_checkpointing=False,
            logging_steps=50,
            save_strategy="no",
            report_to="none",
            seed=seed,
            disable_tqdm=True,
        ),
        train_dataset=dataset,
        processing_class=tokenizer,
        optimizers=(optimizer, None),
    )
    trainer.train()
    seconds = {
        "training_seconds": round(time.monotonic() - started),
        "training_cpu_seconds": round(time.process_time()),
    }
    model = trainer.model.eval().to(torch.bfloat16)
    output.mkdir(parents=True, exist_ok=True)
    eos = [end, tokenizer.convert_tokens_to_ids(END)]
    model.generation_config = GenerationConfig(
        do_sample=False, bos_token_id=begin, eos_token_id=eos, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    shutil.rmtree(output / "checkpoints", ignore_errors=True)
    # what was stored is what is scored; computed in float32, which every CPU does quickly
    scores = evaluate(model.float(), tokenizer, _GUARD, compose("held_out", held_out, seed))
    _write_metrics(output, scores, model.num_parameters(), exchanges, seed, seconds)
    typer.echo((output / "metrics.json").read_text())


def _prompt(example: LabelledExchange) -> str:
    return _GUARD.render(example.prompt, example.response).text


def _write_metrics(
    output: Path,
    scores: Scores,
    parameters: int,
    exchanges: int,
    seed: int,
    seconds: dict[str, int],
) -> None:
    recipe = {
        "parameters": parameters,
        "vocabulary": _VOCABULARY,
        "exchanges": exchanges,
        "epochs": 1,
        "batch": _BATCH,
        "learning_rate": _LEARNING_RATE,
        "matrix_learning_rate": _MATRIX_LEARNING_RATE,
        "weight_decay": _WEIGHT_DECAY,
        "seed": seed,
        **seconds,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "transformers": transformers.__version__,
        "trl": trl.__version__,
        "torch": torch.__version__,
        "prompt_sha256": _GUARD.prompt_sha256,
    }
    metrics = {"recipe": recipe, "held_out": scores.as_dict()}
    (output / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    (output / "README.md").write_text(model_card(metrics))


if __name__ == "__main__":
    typer.run(main)
