"""The model card, written from the figures of the training run."""

from typing import Any

from worker.verdicts import Task


def model_card(metrics: dict[str, Any]) -> str:
    """Markdown for the folder of the weights."""
    recipe, held_out = metrics["recipe"], metrics["held_out"]
    rows = "\n".join(f"| {task} | {held_out['f1'][task]:.3f} |" for task in Task)
    return f"""---
license: apache-2.0
---
# Guardstream's demonstration guard

**For demonstrations and tests only.** A Llama of {recipe["parameters"]:,} parameters that has seen
nothing but composed sentences; it knows nothing of the world. For moderation use
GuardReasoner-1B, -3B or -8B (`engine.model`).

## Data
{recipe["exchanges"]:,} exchanges, composed by `training/exchanges.py` from phrases written for this
project (`training/phrases.toml`), seed {recipe["seed"]}. No third-party data.

## Recipe
`make train-demo-guard`: supervised fine-tuning from scratch (R-SFT in miniature, arXiv:2501.18492),
loss on the completion alone, {recipe["epochs"]} epoch, batch {recipe["batch"]}, AdamW at
{recipe["learning_rate"]:g} with cosine decay, float32; {recipe["training_seconds"]} s on
{recipe["machine"]} (torch {recipe["torch"]}, transformers {recipe["transformers"]}, TRL
{recipe["trl"]}). Weights are stored as bfloat16.

## Score
{held_out["exchanges"]:,} exchanges of the held-out split: request and response frames, contexts and
nouns that training never showed. The acts themselves (to bake bread, to forge a ticket) are the
same ones, so this says nothing of acts it has not seen. Greedy, read by the production reader; an
unreadable label counts as wrong.

| task | F1 |
|---|---|
{rows}

{held_out["inconclusive"]} of {held_out["exchanges"]:,} were inconclusive; in
{held_out["request_misquoted"]} the first step quotes the request other than it stands.
"""
