"""The model card, written from the figures of the training run."""

from typing import Any

from worker.verdicts import Task


def model_card(metrics: dict[str, Any]) -> str:
    """Markdown for the folder of the weights."""
    recipe, held_out = metrics["recipe"], metrics["held_out"]
    rows = "\n".join(f"| {task} | {held_out['f1'][task]:.3f} |" for task in Task)
    versions = ", ".join(f"{name} {recipe[name]}" for name in ("torch", "transformers", "trl"))
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
loss on the completion alone, {recipe["epochs"]} epoch, batch {recipe["batch"]}, cosine decay from
{recipe["matrix_learning_rate"]:g} (Muon, for the matrices of the layers) and
{recipe["learning_rate"]:g} (AdamW, for the rest), float32; {recipe["training_seconds"]} s,
{recipe["training_cpu_seconds"]} s of CPU time over all threads, on {recipe["machine"]}
({versions}). Weights are stored as bfloat16.

## Score
{held_out["exchanges"]:,} exchanges of the held-out split: request and response frames, contexts and
nouns that training never showed. The acts themselves (to bake bread, to forge a ticket) are the
same ones, so this says nothing of acts it has not seen. Greedy, read by the production reader; an
unreadable label counts as wrong.

| task | F1 |
|---|---|
{rows}

Of {held_out["exchanges"]:,}, {held_out["inconclusive"]} were inconclusive,
{held_out["flags"].get("contradicts_conclusion", 0)} contradict their own conclusion, and
{held_out["request_misquoted"]} quote the request other than it stands.
"""
