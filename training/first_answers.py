"""Answers before any reasoning: how well a model's scores at the block of answers separate.

The block continues the prompt, a field at a time. A field's score is read from the distribution of
the token by which its two labels differ, and the fields after it follow the likelier label.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from training.config import Config
from training.models import build_guard, encoding_tokenizer, load_model
from training.rows import Encoder
from worker.domain.questions import Question
from worker.evaluation import intervals
from worker.evaluation.labelled import LabelledEvent
from worker.evaluation.score_figures import BINS, auc, tpr_at
from worker.evaluation.scoring import Tally, strict
from worker.guards.guardreasoner.answers import headings, questions_of, written

_PADDED_TOKENS = 16_384
_MOST_FALSE_ALARMS = 0.01


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """What a model says to one question before it reasons.

    Attributes:
        score: the probability of the positive label among the labels.
        mass: the probability of all labels together.
    """

    label: str
    score: float
    mass: float


def read_first_answers(
    config: Config, folder: Path, events: Sequence[LabelledEvent], limit: int
) -> list[dict[str, FirstAnswer]]:
    """Of each event: the answers to the questions that apply; none where the prompt is too long."""
    tokenizer = encoding_tokenizer(str(folder), None)
    encoder = Encoder(build_guard(config), tokenizer)
    model = load_model(str(folder)).eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    read: list[dict[str, FirstAnswer]] = [{} for _ in events]
    contexts = {n: ids for n, ids in enumerate(encoder.prompts([*events], limit)) if ids}
    for question, heading in headings(questions_of(has_response=True)):
        asked = {
            n: [*ids, *encoder.piece(heading)]
            for n, ids in contexts.items()
            if question.applies(has_response=events[n].exchange.response is not None)
        }
        written_as = {written(label): label for label in question.labels}
        place, tokens = tokenizer.label_tokens(list(written_as))
        # what the labels begin with alike is given
        alike = encoder.piece(next(iter(written_as)))[:place]
        found = _distributions(model, {n: [*ids, *alike] for n, ids in asked.items()})
        for n, distribution in found:
            shares = {
                label: float(distribution[tokens[text]]) for text, label in written_as.items()
            }
            read[n][question.name] = answer = first_answer(question, shares)
            contexts[n] = [*asked[n], *encoder.piece(written(answer.label))]
    return read


def first_answer(question: Question, shares: dict[str, float]) -> FirstAnswer:
    """The answer that the probabilities of the labels make."""
    mass = sum(shares.values())
    score = shares[question.positive] / mass if mass else 0.0
    return FirstAnswer(max(shares, key=lambda label: shares[label]), score, mass)


@torch.inference_mode()
def _distributions(
    model: PreTrainedModel, contexts: dict[int, list[int]]
) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
    """Of each context: the probabilities of the token that comes next."""
    order = sorted(contexts, key=lambda n: len(contexts[n]), reverse=True)
    while order:
        longest = len(contexts[order[0]])
        count = max(1, _PADDED_TOKENS // longest)
        batch, order = order[:count], order[count:]
        ids = torch.zeros((len(batch), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for at, n in enumerate(batch):
            # padded on the left, so that all end in the last column
            ids[at, longest - len(contexts[n]) :] = torch.tensor(contexts[n])
            mask[at, longest - len(contexts[n]) :] = 1
        logits = model(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0).to(model.device),
            logits_to_keep=1,
            use_cache=False,
        ).logits[:, -1]
        yield from zip(batch, logits.float().softmax(dim=-1).cpu().numpy(), strict=True)


def first_answer_figures(
    questions: Sequence[Question],
    events: Sequence[LabelledEvent],
    read: Sequence[dict[str, FirstAnswer]],
) -> dict[str, dict[str, Any]]:
    """The figures of each question, over the events that have a label and an answer."""
    tally = Tally(questions)
    for event, answers in zip(events, read, strict=True):
        tally.add(event.labels, {name: answer.label for name, answer in answers.items()})
    figures = {}
    for question in questions:
        name, counts = question.name, tally.confusion(question)
        positive = question.positive
        scored = [
            (event.labels[name] == positive, answers[name])
            for event, answers in zip(events, read, strict=True)
            if event.labels[name] is not None and name in answers
        ]
        truth = np.array([true for true, _ in scored], dtype=bool)
        scores = np.array([answer.score for _, answer in scored])
        masses = [answer.mass for _, answer in scored]
        f1 = intervals.f1(counts.hits(positive), counts.misses(positive) + counts.alarms(positive))
        figures[name] = {
            "labelled": counts.labelled,
            "support": counts.support,
            "f1": f1.value,
            "f1_interval": [f1.low, f1.high],
            "macro_f1": strict(counts).macro_f1,
            "auc": area_under_curve(truth, scores),
            "tpr_at_1_percent_fpr": recall_at(truth, scores, _MOST_FALSE_ALARMS),
            "ece": calibration_error(truth, scores),
            "mean_mass": float(np.mean(masses)) if masses else None,
            "least_mass": min(masses, default=None),
        }
    return figures


_Array = np.ndarray[Any, np.dtype[Any]]


def area_under_curve(truth: _Array, scores: _Array) -> float | None:
    """See `score_figures.auc`; None where the labels are all alike."""
    return auc(scores, truth) if _has_both(truth) else None


def recall_at(truth: _Array, scores: _Array, most: float) -> float | None:
    """See `score_figures.tpr_at`; None where the labels are all alike."""
    return tpr_at(scores, truth, most) if _has_both(truth) else None


def _has_both(truth: _Array) -> bool:
    return bool(truth.any() and not truth.all())


def calibration_error(truth: _Array, scores: _Array) -> float | None:
    """The expected calibration error, over 15 bins of equal width of the likelier label's share."""
    if not len(scores):
        return None
    confidence = np.maximum(scores, 1 - scores)
    right = (scores >= 0.5) == truth
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        abs(float((right[bins == one] - confidence[bins == one]).sum())) for one in np.unique(bins)
    ]
    return sum(gaps) / len(scores)
