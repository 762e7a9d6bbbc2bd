"""The calibration of a guard's scores on labelled events.

Figures of calibrated scores are cross-validated: the curve, the threshold and the band that judge
an event were made without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from worker.domain.calibration import SCORE_DIGITS, QuestionCalibration, logit, sigmoid
from worker.domain.questions import Question
from worker.evaluation.bands import choose_band, choose_threshold, outside_errors
from worker.evaluation.curves import FittedStage, Fold, apply, fit_stage, stratified_folds
from worker.evaluation.question_columns import Aims, Columns, question_columns, require_enough
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
from worker.runtime.calibration_document import Band, CombinedFigures, QuestionFigures, StageFigures


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
class HeldOut:
    """What a question's calibration gives for each event that it was made without.

    Attributes:
        applies: whether the question applies to the event; elsewhere the others mean nothing.
        first: calibrated probability before reasoning; `reasoned` after it.
        is_believed: whether the labels have enough mass before reasoning.
        is_unsure: whether the first score is inside the band.
        threshold: of the positive label before reasoning; `combined_threshold` after it.
    """

    applies: Truths
    first: Scores
    reasoned: Scores
    is_believed: Truths
    is_unsure: Truths
    threshold: Scores
    combined_threshold: Scores


@dataclass(frozen=True, slots=True)
class CalibratedQuestion:
    """A question's figures, and what they give for each event."""

    question: Question
    figures: QuestionFigures
    held: HeldOut


def calibrate_question(
    question: Question, events: Sequence[ScoredEvent], aims: Aims
) -> CalibratedQuestion:
    """Curves, threshold and band of one question.

    Raises:
        UnusableFile: too few events have a label of it.
    """
    name = question.name
    rows = question_columns(question, events, aims.least_mass)
    require_enough(question, rows.truths, aims)
    folds = stratified_folds(rows.truths, folds=aims.folds, seed=aims.seed)
    first = fit_stage(rows.first, rows.truths, folds)
    reasoned = fit_stage(rows.reasoned, rows.truths, folds)
    calibrated = rounded(apply(first.curve, rows.first))
    threshold = choose_threshold(calibrated, rows.truths, aims.false_positive_rate)
    caution, unsure, thresholds, wrong = _within_budget(rows, first, folds, aims)
    low, high = _band(
        calibrated,
        rows.positive,
        rows.negative,
        threshold=threshold.value,
        budget=aims.budget,
        caution=caution,
    )
    scores = [events[n].scores[name] for n in rows.at]
    figures = QuestionFigures(
        events=len(rows.at),
        positives=int(rows.truths.sum()),
        first=_stage(rows.first, rows.truths, first, [one.first_mass for one in scores]),
        reasoned=_stage(
            rows.reasoned, rows.truths, reasoned, [one.reasoned_mass for one in scores]
        ),
        combined=_combined(rows, first, reasoned, aims),
        band=Band(
            low=low,
            high=high,
            budget=aims.budget,
            share_inside=float(unsure.mean()),
            outside_error=float(wrong.mean()),
        ),
        threshold=threshold,
    )
    held = _held(name, events, figures, aims)
    # the events with labels by curves and bands that were made without them
    held.first[rows.at], held.reasoned[rows.at] = first.held, reasoned.held
    held.is_unsure[rows.at], held.threshold[rows.at] = unsure, thresholds
    held.combined_threshold[rows.at] = _combined_thresholds(rows, first, reasoned, folds, aims)
    return CalibratedQuestion(question, figures, held)


def _within_budget(
    rows: Columns, first: FittedStage, folds: Sequence[Fold], aims: Aims
) -> tuple[Caution, Truths, Scores, Truths]:
    """The least caution with which bands keep to the budget on held-out events.

    Returns:
        The caution (the most, if none is enough), and of each event whether it is inside the
        band, the threshold, and whether it is outside and loses a right label.
    """
    for caution in _CAUTIONS:
        unsure, wrong = (np.zeros(len(rows.truths), dtype=bool) for _ in range(2))
        thresholds = np.empty(len(rows.truths))
        for curve, (fitted, out) in zip(first.fold_curves, folds, strict=True):
            seen = rounded(apply(curve, rows.first[fitted]))
            threshold = choose_threshold(seen, rows.truths[fitted], aims.false_positive_rate).value
            low, high = _band(
                seen,
                rows.positive[fitted],
                rows.negative[fitted],
                threshold=threshold,
                budget=aims.budget,
                caution=caution,
            )
            scores = rounded(first.held[out])
            unsure[out] = (scores > low) & (scores < high)
            thresholds[out] = threshold
            wrong[out] = outside_errors(scores, rows.positive[out], rows.negative[out], low, high)
        # without enough mass there is no score, and the guard reasons
        unsure |= ~rows.believed
        wrong &= rows.believed
        if wrong.mean() <= aims.budget and _lost_f1(rows, wrong) <= aims.budget:
            break
    return caution, unsure, thresholds, wrong


def _lost_f1(rows: Columns, wrong: Truths) -> float:
    """How much F1 falls if these events lose their right labels."""
    with_reasoning, without = (
        2 * (rows.truths & said).sum() / max(rows.truths.sum() + said.sum(), 1)
        for said in (rows.positive, rows.positive ^ wrong)
    )
    return float(with_reasoning - without)


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


def _combined(
    rows: Columns, first: FittedStage, reasoned: FittedStage, aims: Aims
) -> CombinedFigures:
    held = combine(first.held, reasoned.held)
    fitted = combine(apply(first.curve, rows.first), apply(reasoned.curve, rows.reasoned))
    one, tenth = (tpr_at(held, rows.truths, rate) for rate in FALSE_POSITIVE_RATES)
    return CombinedFigures(
        auc=auc(held, rows.truths),
        tpr_at_1_percent=one,
        tpr_at_01_percent=tenth,
        threshold=choose_threshold(rounded(fitted), rows.truths, aims.false_positive_rate),
    )


def _combined_thresholds(
    rows: Columns, first: FittedStage, reasoned: FittedStage, folds: Sequence[Fold], aims: Aims
) -> Scores:
    """Of each event the threshold that was chosen without it."""
    thresholds = np.empty(len(rows.truths))
    for before, after, (fitted, out) in zip(
        first.fold_curves, reasoned.fold_curves, folds, strict=True
    ):
        seen = combine(apply(before, rows.first[fitted]), apply(after, rows.reasoned[fitted]))
        chosen = choose_threshold(rounded(seen), rows.truths[fitted], aims.false_positive_rate)
        thresholds[out] = chosen.value
    return thresholds


def combine(first: Scores, reasoned: Scores) -> Scores:
    """Scores by both stages, as `QuestionCalibration.combined` makes them of rounded first ones."""
    calibration = QuestionCalibration()
    pairs = zip(rounded(first).tolist(), reasoned.tolist(), strict=True)
    return np.array([calibration.combined(before, after) for before, after in pairs])


def rounded(scores: Scores) -> Scores:
    """Scores as verdicts have them, and as guards compare them with bands and thresholds."""
    return np.round(scores, SCORE_DIGITS)


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


def _held(
    name: str, events: Sequence[ScoredEvent], figures: QuestionFigures, aims: Aims
) -> HeldOut:
    """The final calibration's word on each event: honest where the event has no label."""
    calibration = figures.calibration()
    applies = np.array([name in one.scores for one in events], dtype=bool)
    first, reasoned, mass = (np.zeros(len(events)) for _ in range(3))
    for n, one in enumerate(events):
        if applies[n]:
            first[n] = calibration.first.probability(one.scores[name].first)
            reasoned[n] = calibration.reasoned.probability(one.scores[name].reasoned)
            mass[n] = one.scores[name].first_mass
    believed = mass >= aims.least_mass
    shown = rounded(first)
    inside = (shown > calibration.low) & (shown < calibration.high)
    return HeldOut(
        applies,
        first,
        reasoned,
        believed,
        applies & (inside | ~believed),
        np.full(len(events), calibration.threshold),
        np.full(len(events), calibration.combined_threshold),
    )
