"""The calibration of a guard's scores on labelled events.

Figures of calibrated scores are cross-validated: the curve, the threshold and the band that judge
an event were made without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from worker.domain.calibration import logit, sigmoid
from worker.domain.errors import UnusableFile
from worker.domain.questions import Question
from worker.evaluation.bands import choose_band, choose_threshold, outside_errors
from worker.evaluation.curves import FittedStage, Fold, apply, fit_stage, log_odds, stratified_folds
from worker.evaluation.score_figures import (
    FALSE_POSITIVE_RATES,
    Scores,
    Truths,
    auc,
    brier,
    ece,
    reliability,
    tpr_at,
)
from worker.evaluation.scored import ScoredEvent
from worker.runtime.calibration_document import Band, QuestionFigures, StageFigures

LEAST_LABELS = 200


class Caution(NamedTuple):
    """How a band is chosen more carefully than its budget asks for.

    Attributes:
        part: of the budget.
        margin: added on both sides, in log odds.
    """

    part: float
    margin: float = 0.0


# held-out events err more than those that a band was chosen on: smaller budgets are tried too
_CAUTIONS = (
    *(Caution(part) for part in (1.0, 0.75, 0.5, 0.25, 0.0)),
    *(Caution(0.0, margin) for margin in (0.5, 1.0, 2.0)),
)


@dataclass(frozen=True, slots=True)
class Aims:
    """What a calibration is asked for.

    Attributes:
        budget: the largest share of events that may get another label for want of reasoning.
        false_positive_rate: of the threshold.
        folds: of the cross-validation.
    """

    budget: float = 0.005
    false_positive_rate: float = 0.01
    folds: int = 5
    seed: int = 0


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What a question's calibration says of each event that it was made without.

    Attributes:
        applies: whether the question applies to the event; elsewhere the others mean nothing.
        first: calibrated probability before reasoning; `reasoned` after it.
        is_unsure: whether the first score is inside the band.
        is_positive: whether it reaches the threshold.
    """

    applies: Truths
    first: Scores
    reasoned: Scores
    is_unsure: Truths
    is_positive: Truths


@dataclass(frozen=True, slots=True)
class CalibratedQuestion:
    """A question's figures, and what they say of each event."""

    question: Question
    figures: QuestionFigures
    held: HeldOut


@dataclass(frozen=True, slots=True)
class _Rows:
    """A question's labelled events as columns.

    Attributes:
        at: their places among all events.
        positive: whether the label after reasoning is the positive one; `negative`, another.
    """

    at: np.ndarray[tuple[int], np.dtype[np.intp]]
    truths: Truths
    first: Scores
    reasoned: Scores
    positive: Truths
    negative: Truths


def calibrate_question(
    question: Question, events: Sequence[ScoredEvent], aims: Aims
) -> CalibratedQuestion:
    """Curves, threshold and band of one question.

    Raises:
        UnusableFile: too few events have a label of it.
    """
    name = question.name
    at = [n for n, one in enumerate(events) if name in one.scores and one.labels.get(name)]
    rows = _rows(question, events, at)
    _require_enough(question, rows.truths, aims)
    folds = stratified_folds(rows.truths, folds=aims.folds, seed=aims.seed)
    first = fit_stage(rows.first, rows.truths, folds)
    reasoned = fit_stage(rows.reasoned, rows.truths, folds)
    calibrated = apply(first.curve, rows.first)
    threshold = choose_threshold(calibrated, rows.truths, aims.false_positive_rate)
    caution, unsure, flagged, wrong = _within_budget(rows, first, folds, aims)
    low, high = _band(
        calibrated,
        rows.positive,
        rows.negative,
        threshold=threshold.value,
        budget=aims.budget,
        caution=caution,
    )
    scores = [events[n].scores[name] for n in at]
    figures = QuestionFigures(
        events=len(at),
        positives=int(rows.truths.sum()),
        first=_stage(rows.first, rows.truths, first, [one.first_mass for one in scores]),
        reasoned=_stage(
            rows.reasoned, rows.truths, reasoned, [one.reasoned_mass for one in scores]
        ),
        combined_auc=auc(log_odds(first.held) + log_odds(reasoned.held), rows.truths),
        band=Band(
            low=low,
            high=high,
            budget=aims.budget,
            share_inside=float(unsure.mean()),
            outside_error=float(wrong.mean()),
        ),
        threshold=threshold,
    )
    held = _held(name, events, figures)
    # the events with labels by curves and bands that were made without them
    held.first[rows.at], held.reasoned[rows.at] = first.held, reasoned.held
    held.is_unsure[rows.at], held.is_positive[rows.at] = unsure, flagged
    return CalibratedQuestion(question, figures, held)


def _rows(question: Question, events: Sequence[ScoredEvent], at: Sequence[int]) -> _Rows:
    name, chosen = question.name, [events[n] for n in at]
    after = [one.reasoned.get(name) for one in chosen]
    return _Rows(
        at=np.array(at, dtype=np.intp),
        truths=np.array([one.labels[name] == question.positive for one in chosen], dtype=bool),
        first=np.array([one.scores[name].first for one in chosen], dtype=float),
        reasoned=np.array([one.scores[name].reasoned for one in chosen], dtype=float),
        positive=np.array([label == question.positive for label in after], dtype=bool),
        negative=np.array([label not in (None, question.positive) for label in after], dtype=bool),
    )


def _require_enough(question: Question, truths: Truths, aims: Aims) -> None:
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


def _within_budget(
    rows: _Rows, first: FittedStage, folds: Sequence[Fold], aims: Aims
) -> tuple[Caution, Truths, Truths, Truths]:
    """The least caution with which bands keep to the budget on held-out events.

    Returns:
        The caution (the most, if none is enough), and of each event whether it is inside the
        band, reaches the threshold, and is outside with another label than after reasoning.
    """
    for caution in _CAUTIONS:
        unsure, flagged, wrong = (np.zeros(len(rows.truths), dtype=bool) for _ in range(3))
        for curve, (fitted, out) in zip(first.fold_curves, folds, strict=True):
            seen = apply(curve, rows.first[fitted])
            threshold = choose_threshold(seen, rows.truths[fitted], aims.false_positive_rate).value
            low, high = _band(
                seen,
                rows.positive[fitted],
                rows.negative[fitted],
                threshold=threshold,
                budget=aims.budget,
                caution=caution,
            )
            scores = first.held[out]
            unsure[out] = (scores > low) & (scores < high)
            flagged[out] = scores >= threshold
            wrong[out] = outside_errors(scores, rows.positive[out], rows.negative[out], low, high)
        if wrong.mean() <= aims.budget:
            break
    return caution, unsure, flagged, wrong


def _band(
    scores: Scores,
    positive: Truths,
    negative: Truths,
    *,
    threshold: float,
    budget: float,
    caution: Caution,
) -> tuple[float, float]:
    low, high = choose_band(
        scores, positive, negative, threshold=threshold, budget=caution.part * budget
    )
    if not caution.margin:
        return low, high
    return (
        sigmoid(logit(low) - caution.margin) if low > 0 else 0.0,
        sigmoid(logit(high) + caution.margin) if high < 1 else 1.0,
    )


def _stage(
    raw: Scores, truths: Truths, fitted: FittedStage, masses: Sequence[float]
) -> StageFigures:
    before, after = reliability(raw, truths), reliability(fitted.held, truths)
    one, tenth = (tpr_at(raw, truths, rate) for rate in FALSE_POSITIVE_RATES)
    return StageFigures(
        curve=fitted.curve,
        log_loss=fitted.log_loss,
        auc=auc(raw, truths),
        tpr_at_1_percent=one,
        tpr_at_01_percent=tenth,
        ece_before=ece(before),
        ece=ece(after),
        brier_before=brier(raw, truths),
        brier=brier(fitted.held, truths),
        mean_mass=float(np.mean(masses)),
        least_mass=float(np.min(masses)),
        reliability_before=before,
        reliability=after,
    )


def _held(name: str, events: Sequence[ScoredEvent], figures: QuestionFigures) -> HeldOut:
    """The final calibration's word on each event: honest where the event has no label."""
    calibration = figures.calibration()
    applies = np.array([name in one.scores for one in events], dtype=bool)
    first, reasoned = np.zeros(len(events)), np.zeros(len(events))
    for n, one in enumerate(events):
        if applies[n]:
            first[n] = calibration.first.probability(one.scores[name].first)
            reasoned[n] = calibration.reasoned.probability(one.scores[name].reasoned)
    unsure = applies & (first > calibration.low) & (first < calibration.high)
    return HeldOut(applies, first, reasoned, unsure, applies & (first >= calibration.threshold))
