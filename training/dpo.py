"""HS-DPO: on from R-SFT's model with the pairs that were mined; and the ablation without mining."""

from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset
from transformers import set_seed
from trl import DPOConfig

from training.answer_first import block, is_answer_first
from training.config import Config
from training.loop import Keeping, accumulate, set_threads, trainer_arguments
from training.models import lora_config, space_needed
from training.pairs import Pair, read_pairs
from training.preference import HardSampleTrainer, WeightedPairs
from training.rows import Encoder, data_path, read_events
from training.runs import Run, require_space
from training.sft import load_base, train_and_save
from worker.evaluation.labelled import LabelledEvent


def run_dpo(run: Run, config: Config) -> dict[str, Any]:
    """Train on the mined pairs, then on as many random ones; returns the summary."""
    run.require("mine")
    facts = {"dpo": _train(run, config, "dpo", "pairs.jsonl")}
    if config.dpo.ablation:
        facts["ablation"] = _train(run, config, "ablation", "random-pairs.jsonl")
    return facts


def _train(run: Run, config: Config, name: str, file: str) -> dict[str, Any]:
    pairs = read_pairs(run.folder / file)
    if not pairs:
        # nothing to prefer: R-SFT's model stays what it is
        return {"pairs": 0, "steps": 0}
    set_seed(config.seed)
    set_threads(config)
    chosen = config.dpo
    base = load_base(str(run.model("sft")), None, config)
    require_space(run.folder, space_needed(base.model))
    path = data_path(run, config, "mine")
    assert path is not None  # noqa: S101 - it was mined
    events = {event.id: event for event in read_events(path).events}
    share = config.sft.answer_first_share
    encoded = encode_pairs(
        base.encoder,
        pairs,
        events,
        chosen.max_tokens,
        answered=lambda name: is_answer_first(name, share, config.seed),
    )
    if not encoded:
        return {"pairs": 0, "too_long": len(pairs), "steps": 0}
    arguments = DPOConfig(
        **trainer_arguments(run, config, chosen, name),
        beta=chosen.beta,
        max_length=None,
        # the reference does not change, so it is asked once
        precompute_ref_log_probs=True,
    )
    accumulate(arguments, chosen, len(encoded))
    trainer = HardSampleTrainer(
        sft_weight=chosen.sft_weight,
        model=base.model,
        args=arguments,
        data_collator=WeightedPairs(base.tokenizer.pad_token_id, answers=share > 0),
        train_dataset=Dataset.from_list(encoded),
        processing_class=base.tokenizer,
        peft_config=lora_config(config.model.lora),
        callbacks=[Keeping(run, name)],
    )
    facts = {"pairs": len(encoded), "too_long": len(pairs) - len(encoded)}
    return facts | train_and_save(trainer, run, config, name, base)


def encode_pairs(
    encoder: Encoder,
    pairs: Sequence[Pair],
    events: dict[str, LabelledEvent],
    limit: int,
    *,
    answered: Callable[[str], bool],
) -> list[dict[str, Any]]:
    """Pairs as the trainer takes them, without those that are too long.

    `answered` says of an item's id whether its answers are learnt before reasoning too.
    """
    prompts = encoder.prompts([events[pair.id] for pair in pairs], limit)
    chosen = encoder.completions([pair.chosen for pair in pairs], limit)
    rejected = encoder.completions([pair.rejected for pair in pairs], limit)
    encoded = []
    for pair, prompt, right, wrong in zip(pairs, prompts, chosen, rejected, strict=True):
        if prompt is None or right is None or wrong is None:
            continue
        answers, mask = block(encoder, events[pair.id]) if answered(pair.id) else ([], [])
        if len(prompt) + max(len(right), len(wrong), len(answers)) > limit:
            continue
        encoded.append(
            {
                "prompt_ids": prompt,
                "chosen_ids": right,
                "rejected_ids": wrong,
                "alpha": pair.alpha,
                "answer_ids": answers,
                "answer_mask": mask,
            }
        )
    return encoded
