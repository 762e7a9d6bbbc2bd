"""Where a first score is sure: the threshold of the label, and the band that needs reasoning."""

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.score_figures import Scores, Truths
from worker.runtime.calibration_document import Threshold

_CONFIDENCE = 0.95
_Cuts = NDArray[np.intp]


def choose_threshold(scores: Scores, truths: Truths, rate: float) -> Threshold:
    """The least threshold from 1/2 on with a false-positive rate, by split conformal prediction.

    A lower one would give the positive label where the other is more probable.

    Of n negatives, the k-th lowest score with k = ceil((n + 1)(1 - rate)) is exceeded by a new
    negative with a probability of at most `rate`, if it comes from the same source (Vovk et al.;
    Angelopoulos and Bates, arXiv:2107.07511). Fewer than 1 / rate negatives cannot show that: the
    threshold is then above all of them, and its bound says what is known.
    """
    negatives = np.sort(scores[~truths])
    n = len(negatives)
    rank = int(np.ceil((n + 1) * (1 - rate) - 1e-9))
    highest = float(negatives[min(rank, n) - 1])
    values = np.unique(scores)
    value = max(0.5, _between(values, int(np.searchsorted(values, highest, "right"))))
    false_positives = int((negatives >= value).sum())
    return Threshold(
        value=value,
        false_positive_rate=rate,
        negatives=n,
        false_positives=false_positives,
        bound=upper_bound(false_positives, n),
        is_conformal=rank <= n and value > highest,
    )


def upper_bound(part: int, whole: int) -> float:
    """The upper end of Clopper and Pearson's one-sided interval of 95 % of a proportion."""
    from scipy.stats import beta  # noqa: PLC0415 - takes two seconds

    if part >= whole:
        return 1.0
    return float(beta.ppf(_CONFIDENCE, part + 1, whole - part))


def choose_band(
    scores: Scores, positive: Truths, negative: Truths, *, threshold: float, budget: float
) -> tuple[float, float]:
    """The band with the fewest events inside, and few errors outside; it contains the threshold.

    Args:
        scores: calibrated first scores.
        positive: events whose label after reasoning is the positive one, and right.
        negative: those with another label that is right; an event can be neither.
        threshold: of the label, see `choose_threshold`.
        budget: at or below `low` positive events, and at or above `high` negative ones, are errors;
            this share of all events may be.
    """
    values, group = np.unique(scores, return_inverse=True)
    groups = len(values)
    # by how many groups lie below a cut: events, and errors on either side
    below = _before(group, np.ones(len(scores)), groups)
    low_errors = _before(group, positive, groups)
    negatives = _before(group, negative, groups)
    high_errors = negatives[-1] - negatives
    middle = int(np.searchsorted(values, threshold, "left"))
    lows: _Cuts = np.arange(middle + 1)
    left = budget * len(scores) + 1e-9 - low_errors[lows]
    lows, left = lows[left >= 0], left[left >= 0]
    # errors above fall as the upper cut rises: the first cut with few enough
    highs: _Cuts = np.searchsorted(-high_errors, -left, "left")
    highs = np.maximum(highs, middle)
    inside = below[highs] - below[lows]
    errors = low_errors[lows] + high_errors[highs]
    at = int(np.lexsort((errors, inside))[0])
    low, high = int(lows[at]), int(highs[at])
    return (
        _cut(np.append(values[:middle], threshold), low) if low == middle else _cut(values, low),
        threshold if high == middle < groups else _cut(values, high),
    )


def outside_errors(
    scores: Scores, positive: Truths, negative: Truths, low: float, high: float
) -> Truths:
    """Which events are outside a band and lose a label that reasoning gets right."""
    return ((scores <= low) & positive) | ((scores >= high) & negative)


def _before(group: NDArray[np.intp], weights: NDArray[np.generic], groups: int) -> Scores:
    counted = np.bincount(group, weights=weights.astype(float), minlength=groups)
    return np.concatenate([[0.0], np.cumsum(counted)])


def _cut(values: Scores, at: int) -> float:
    """A number between two groups of scores: below all of them 0, above all of them 1."""
    if at == 0:
        return 0.0
    return 1.0 if at == len(values) else _between(values, at)


def _between(values: Scores, at: int) -> float:
    lower = float(values[at - 1])
    upper = float(values[at]) if at < len(values) else 1.0
    middle = (lower + upper) / 2
    # neighbours in floating point have no number between them
    return middle if lower < middle else upper
