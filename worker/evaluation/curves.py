"""The curve from a raw score to a probability, chosen by cross-validation.

Temperature scaling has one parameter (Guo et al. 2017), Platt scaling two (Platt 1999). Both are
fitted to Platt's smoothed targets, so that scores without a mistake give no infinite slope.
Isotonic regression has as many as the data ask for, so it is tried only with many labels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.domain.calibration import logit
from worker.evaluation.score_figures import Scores, Truths
from worker.runtime.calibration_document import CurveKind, FittedCurve

# below it, isotonic regression follows the noise
ISOTONIC_FROM_LABELS = 1000
_LEAST = 1e-6
# of a logistic regression: this weak a penalty changes no third digit
_UNPENALISED = 1e6

Rows = NDArray[np.intp]
Fold = tuple[Rows, Rows]


@dataclass(frozen=True, slots=True)
class FittedStage:
    """The curve of a stage.

    Attributes:
        log_loss: of each kind, cross-validated.
        fold_curves: one for each fold, fitted without its rows.
        held: the probability of each row by the curve that was fitted without it.
    """

    curve: FittedCurve
    log_loss: dict[CurveKind, float]
    fold_curves: tuple[FittedCurve, ...]
    held: Scores


def stratified_folds(truths: Truths, *, folds: int, seed: int) -> list[Fold]:
    """Rows to fit on and rows that are held out, with the same share of positives in each."""
    from sklearn.model_selection import StratifiedKFold  # noqa: PLC0415 - takes seconds

    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return list(split.split(np.zeros(len(truths)), truths))


def fit_stage(raw: Scores, truths: Truths, folds: Sequence[Fold]) -> FittedStage:
    """The curve with the least cross-validated log loss; of equal ones the simpler."""
    kinds: list[CurveKind] = ["temperature", "platt"]
    if len(raw) >= ISOTONIC_FROM_LABELS:
        kinds.append("isotonic")
    tried: dict[CurveKind, tuple[float, tuple[FittedCurve, ...], Scores]] = {}
    for kind in kinds:
        curves = tuple(_FITS[kind](raw[fitted], truths[fitted]) for fitted, _ in folds)
        held = np.empty(len(raw))
        for curve, (_, rows) in zip(curves, folds, strict=True):
            held[rows] = apply(curve, raw[rows])
        tried[kind] = (log_loss(held, truths), curves, held)
    best = min(tried, key=lambda kind: tried[kind][0])
    _, curves, held = tried[best]
    return FittedStage(
        _FITS[best](raw, truths),
        {kind: loss for kind, (loss, _, _) in tried.items()},
        curves,
        held,
    )


def apply(curve: FittedCurve, raw: Scores) -> Scores:
    """The probability of each raw score, as a guard computes it."""
    return np.fromiter(map(curve.curve().probability, raw.tolist()), float, len(raw))


def log_odds(scores: Scores) -> Scores:
    """The log odds of each probability."""
    return np.fromiter(map(logit, scores.tolist()), float, len(scores))


def log_loss(scores: Scores, truths: Truths) -> float:
    """The mean of the negative logarithm of the probability of the label."""
    held = np.clip(scores, _LEAST, 1 - _LEAST)
    return float(-np.log(np.where(truths, held, 1 - held)).mean())


def _temperature(raw: Scores, truths: Truths) -> FittedCurve:
    slope, _ = _line(raw, truths, has_offset=False)
    return FittedCurve("temperature", slope)


def _platt(raw: Scores, truths: Truths) -> FittedCurve:
    slope, offset = _line(raw, truths, has_offset=True)
    return FittedCurve("platt", slope, offset)


def _line(raw: Scores, truths: Truths, *, has_offset: bool) -> tuple[float, float]:
    """Slope and offset in log odds; a slope that would fall is 0."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - takes seconds

    odds = log_odds(raw).reshape(-1, 1)
    target = _smoothed(truths)
    # a target between 0 and 1 is a row of each label with that weight
    both = np.concatenate([odds, odds])
    labels = np.repeat([1, 0], len(odds))
    model = LogisticRegression(C=_UNPENALISED, fit_intercept=has_offset, max_iter=1000)
    model.fit(both, labels, sample_weight=np.concatenate([target, 1 - target]))
    slope = float(model.coef_[0, 0])
    offset = float(model.intercept_[0]) if has_offset else 0.0
    if slope >= 0:
        return slope, offset
    # scores that rank the wrong way say nothing: every event gets the share of positives
    return 0.0, logit(float(target.mean())) if has_offset else 0.0


def _smoothed(truths: Truths) -> Scores:
    """Platt's targets: as if one more event of each label had been seen."""
    positives = int(truths.sum())
    others = len(truths) - positives
    return np.where(truths, (positives + 1) / (positives + 2), 1 / (others + 2))


def _isotonic(raw: Scores, truths: Truths) -> FittedCurve:
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415 - takes seconds

    # no bin of events shows that a probability is 0 or 1
    least = 1 / (len(raw) + 2)
    model = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
    model.fit(raw, truths.astype(float))
    x = model.X_thresholds_.tolist()
    y = np.maximum.accumulate(model.y_thresholds_).tolist()
    return FittedCurve("isotonic", points=tuple(zip(x, y, strict=True)))


_FITS: dict[CurveKind, Callable[[Scores, Truths], FittedCurve]] = {
    "temperature": _temperature,
    "platt": _platt,
    "isotonic": _isotonic,
}
