"""How well scores rank and how much their numbers mean: AUC, ROC, precision and recall, ECE, Brier.

A score is the probability of the positive label. ECE is the expected calibration error over bins
of equal width (Naeini et al. 2015): the mean, over events, of the distance between the mean score
of a bin and the share of its events that are positive. It depends on the bins and can be small for
scores that say nothing, so it is shown with the Brier score and the bins.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.intervals import CONFIDENCE, Estimate
from worker.runtime.calibration_document import ReliabilityBin

Scores = NDArray[np.float64]
Truths = NDArray[np.bool_]

BINS = 15
FALSE_POSITIVE_RATES = (0.01, 0.001)
# enough for a plot
_MOST_POINTS = 200


@dataclass(frozen=True, slots=True)
class ScoreFigures:
    """The figures of one question's scores.

    Attributes:
        n: labelled rows with a score.
        tpr_at_1_percent: the share of positives found at a false-positive rate of at most 1 %.
        roc: (false-positive rate, true-positive rate), both rising.
        precision_recall: (recall, precision), recall rising.
    """

    n: int
    positives: int
    auc: float
    tpr_at_1_percent: float
    tpr_at_01_percent: float
    ece: float
    brier: float
    bins: tuple[ReliabilityBin, ...]
    roc: tuple[tuple[float, float], ...]
    precision_recall: tuple[tuple[float, float], ...]


def score_figures(scores: Scores, truths: Truths) -> ScoreFigures | None:
    """All figures of scores; None where the labels are all alike."""
    if truths.all() or not truths.any():
        return None
    from sklearn.metrics import precision_recall_curve  # noqa: PLC0415 - takes seconds

    bins = reliability(scores, truths)
    precision, recall, _ = precision_recall_curve(truths, scores)
    one, tenth = (tpr_at(scores, truths, rate) for rate in FALSE_POSITIVE_RATES)
    return ScoreFigures(
        n=len(scores),
        positives=int(truths.sum()),
        auc=auc(scores, truths),
        tpr_at_1_percent=one,
        tpr_at_01_percent=tenth,
        ece=ece(bins),
        brier=brier(scores, truths),
        bins=bins,
        roc=_thinned(*_roc(scores, truths)),
        precision_recall=_thinned(recall[::-1], precision[::-1]),
    )


def auc(scores: Scores, truths: Truths) -> float:
    """The probability that a positive scores higher than another event; ties count half."""
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415 - takes seconds

    return float(roc_auc_score(truths, scores))


def tpr_at(scores: Scores, truths: Truths, rate: float) -> float:
    """The largest true-positive rate of a threshold whose false-positive rate is at most `rate`."""
    false_positives, true_positives = _roc(scores, truths)
    return float(true_positives[false_positives <= rate].max())


def brier(scores: Scores, truths: Truths) -> float:
    """The mean squared distance between score and label."""
    from sklearn.metrics import brier_score_loss  # noqa: PLC0415 - takes seconds

    return float(brier_score_loss(truths, scores))


def reliability(scores: Scores, truths: Truths, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """The scores in bins of equal width; a bin holds its lower end, the last one also 1."""
    at = np.minimum((scores * bins).astype(int), bins - 1)
    counts = np.bincount(at, minlength=bins)
    sums = np.bincount(at, weights=scores, minlength=bins)
    positives = np.bincount(at, weights=truths.astype(float), minlength=bins)
    return tuple(
        ReliabilityBin(
            n / bins,
            (n + 1) / bins,
            count := int(counts[n]),
            # a rounding error must not leave the range
            min(float(sums[n]) / count, 1.0) if count else None,
            float(positives[n]) / count if count else None,
        )
        for n in range(bins)
    )


def ece(bins: tuple[ReliabilityBin, ...]) -> float:
    """The expected calibration error of scores in bins."""
    total = sum(one.n for one in bins)
    gaps = (
        one.n * abs(one.score - one.positive)
        for one in bins
        if one.score is not None and one.positive is not None
    )
    return sum(gaps) / total if total else 0.0


def paired_difference(
    figure: Callable[[Scores, Truths], float],
    ours: Scores,
    theirs: Scores,
    truths: Truths,
    *,
    resamples: int,
    seed: int,
) -> Estimate:
    """A figure of our scores minus that of theirs, with its percentile bootstrap interval.

    Positive and other rows are drawn apart, so that no resample lacks one of them.
    """
    value = figure(ours, truths) - figure(theirs, truths)
    draw = np.random.default_rng([seed, len(truths)])
    groups = [np.flatnonzero(truths), np.flatnonzero(~truths)]
    seen = [value]
    for _ in range(resamples):
        rows = np.concatenate([draw.choice(group, len(group)) for group in groups])
        seen.append(figure(ours[rows], truths[rows]) - figure(theirs[rows], truths[rows]))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(seen, [tail, 1 - tail]).tolist()
    return Estimate(value, min(low, value), max(high, value))


def rank_auc(scores: Scores, truths: Truths) -> float:
    """What `auc` gives, in a tenth of the time: for resamples."""
    from scipy.stats import rankdata  # noqa: PLC0415 - takes seconds

    positives = int(truths.sum())
    ranks = float(rankdata(scores)[truths].sum())
    return (ranks - positives * (positives + 1) / 2) / (positives * (len(truths) - positives))


def rank_tpr(rate: float) -> Callable[[Scores, Truths], float]:
    """What `tpr_at` gives, in a tenth of the time: for resamples."""

    def figure(scores: Scores, truths: Truths) -> float:
        others = np.sort(scores[~truths])[::-1]
        allowed = int(np.floor(rate * len(others) + 1e-9))
        # a threshold just above the first other row that is not allowed
        limit = others[allowed] if allowed < len(others) else -np.inf
        return float((scores[truths] > limit).mean())

    return figure


def _roc(scores: Scores, truths: Truths) -> tuple[Scores, Scores]:
    from sklearn.metrics import roc_curve  # noqa: PLC0415 - takes seconds

    false_positives, true_positives, _ = roc_curve(truths, scores, drop_intermediate=False)
    return false_positives, true_positives


def _thinned(x: Scores, y: Scores) -> tuple[tuple[float, float], ...]:
    """At most so many points as a plot shows, the first and the last among them."""
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MOST_POINTS)).round().astype(int))
    return tuple(zip(x[chosen].tolist(), y[chosen].tolist(), strict=True))
