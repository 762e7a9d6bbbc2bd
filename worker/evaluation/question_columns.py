"""The labelled events of a question as columns, and what a calibration is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.domain.errors import UnusableFile
from worker.domain.questions import Question
from worker.evaluation.curves import Rows
from worker.evaluation.score_figures import Scores, Truths
from worker.evaluation.scored import ScoredEvent

LEAST_LABELS = 200


@dataclass(frozen=True, slots=True)
class Aims:
    """What a calibration is asked for.

    Attributes:
        budget: the largest share of events that may lose a right label without reasoning.
        false_positive_rate: of the threshold.
        least_mass: of a question's labels together, below which the guard does not use a score.
        folds: of the cross-validation.
    """

    budget: float = 0.005
    false_positive_rate: float = 0.01
    least_mass: float = 0.5
    folds: int = 5
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Columns:
    """A question's labelled events as columns.

    Attributes:
        at: their places among all events.
        believed: whether the labels have enough mass before reasoning.
        positive: whether the label after reasoning is the positive one, and right; `negative`,
            another one, and right. What reasoning gets wrong is not lost without it.
    """

    at: Rows
    truths: Truths
    first: Scores
    reasoned: Scores
    believed: Truths
    positive: Truths
    negative: Truths


def question_columns(
    question: Question, events: Sequence[ScoredEvent], least_mass: float
) -> Columns:
    """The events that have a label of this question and a score at both stages."""
    name = question.name
    at = [n for n, one in enumerate(events) if name in one.scores and one.labels.get(name)]
    chosen = [events[n] for n in at]
    truths = [one.labels[name] for one in chosen]
    right = [truth == one.reasoned.get(name) for truth, one in zip(truths, chosen, strict=True)]
    is_positive = np.array([truth == question.positive for truth in truths], dtype=bool)
    return Columns(
        at=np.array(at, dtype=np.intp),
        truths=is_positive,
        first=np.array([one.scores[name].first for one in chosen], dtype=float),
        reasoned=np.array([one.scores[name].reasoned for one in chosen], dtype=float),
        believed=np.array(
            [one.scores[name].first_mass >= least_mass for one in chosen], dtype=bool
        ),
        positive=is_positive & np.array(right, dtype=bool),
        negative=~is_positive & np.array(right, dtype=bool),
    )


def require_enough(question: Question, truths: Truths, aims: Aims) -> None:
    """Refuse labels that are too few.

    Raises:
        UnusableFile: they are.
    """
    positives, labelled = int(truths.sum()), len(truths)
    if labelled < LEAST_LABELS:
        raise UnusableFile(
            f"{question.name} has {labelled} labelled events with scores, and a calibration takes"
            f" {LEAST_LABELS} or more: label more of them."
        )
    for count, what in ((positives, "are"), (labelled - positives, "are not")):
        if count < aims.folds:
            raise UnusableFile(
                f"Of {labelled} labelled events, {count} {what} {question.positive} by"
                f" {question.name}, and a calibration takes {aims.folds} or more of both:"
                " label more of them."
            )
