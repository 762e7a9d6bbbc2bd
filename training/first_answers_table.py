"""The card's section on answers before any reasoning."""

from collections.abc import Mapping, Sequence
from typing import Any

from worker.domain.questions import STANDARD_TASKS

_FIGURES = (
    ("auc", "AUC"),
    ("tpr_at_1_percent_fpr", "TPR at 1 % FPR"),
    ("ece", "ECE"),
)


def first_answers_section(found: Mapping[str, Any], names: Mapping[str, str], share: float) -> str:
    """Markdown: the figures of each model on the held-out rows, and F1 on the adversarial ones.

    Args:
        found: the evaluations of the card, by model and set.
        names: of the models, in the order of the columns.
        share: of the rows that were learnt with the answers first.
    """
    models = [model for model in names if "answer_first" in found.get(f"{model}-held_out", {})]
    if not models:
        return ""
    learnt = (
        f"{share:.0%} of the rows were also learnt with the answers right after the prompt"
        " (`sft.answer_first_share`)."
        if share
        else "No row was learnt with the answers right after the prompt (`sft.answer_first_share`),"
        " so expect no sense in these scores."
    )
    said = (
        f"{learnt} The score is the share of the positive label in the probability of both labels"
        " at the block of answers, where a field follows the likelier label of the one before; the"
        " label is that of a score from 0.5. The mass is the probability of both labels together."
        " ECE is over 15 bins of the likelier label's share."
    )
    table = [
        "| task | " + " | ".join(names[model] for model in models) + " |",
        "|---" * (len(models) + 1) + "|",
    ]
    held_out = [found[f"{model}-held_out"]["answer_first"] for model in models]
    for task in STANDARD_TASKS:
        figures = [one[task] for one in held_out]
        table.append(_row(f"{task}, F1", [_f1(one) for one in figures]))
        table += [
            _row(f"{task}, {title}", [_number(one[name]) for one in figures])
            for name, title in _FIGURES
        ]
        masses = [f"{_number(one['mean_mass'])} ({_number(one['least_mass'])})" for one in figures]
        table.append(_row(f"{task}, mean (least) mass", masses))
    parts = ["## Answers before reasoning", said, "\n".join(table)]
    attacked = [
        f"- {names[model]}: {_attacked(found[f'{model}-adversarial']['answer_first'])}"
        for model in models
        if "answer_first" in found.get(f"{model}-adversarial", {})
    ]
    if attacked:
        parts += [
            "Macro F1 of these answers against attacks (request, refusal, response):",
            "\n".join(attacked),
        ]
    return "\n\n".join(parts)


def _row(title: str, cells: Sequence[str]) -> str:
    return f"| {title} | " + " | ".join(cells) + " |"


def _f1(figures: Mapping[str, Any]) -> str:
    low, high = figures["f1_interval"]
    return "-" if figures["f1"] is None else f"{figures['f1']:.3f} [{low:.3f}, {high:.3f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _attacked(figures: Mapping[str, Any]) -> str:
    return ", ".join(_number(figures[task]["macro_f1"]) for task in STANDARD_TASKS)
