"""95 % intervals of figures, which claim no certainty where a guard makes no mistakes.

Precision and recall are proportions and get Wilson's score interval (Wilson 1927, JASA 22:209).
F1 is a function of one: F1 = 2p / (1 + p), where p is the share of hits among hits, misses and
false alarms (Hand, Christen and Kirielle 2021, Machine Learning 110:451). Its interval is Wilson's
for p, with both ends transformed.

Macro F1 and differences of F1 have no such form and get the percentile bootstrap over counts: to
draw as many rows with replacement as there are is to draw their counts from a multinomial
distribution. Of a guard without mistakes, and of two guards that agree on every row, all plain
resamples are alike, and the interval would claim certainty. So two rows more are spread over the
cells of the table before drawing, as Agresti and Min do for differences of matched proportions
(2005, Statistics in Medicine 24:729).

The same counts, seed and numpy give the same interval.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
_ADDED_ROWS = 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its interval; null where the data leave it undefined."""

    value: float | None
    low: float | None
    high: float | None


_UNDEFINED = Estimate(None, None, None)


def proportion(part: int, whole: int) -> Estimate:
    """A proportion with Wilson's interval."""
    if not whole:
        return _UNDEFINED
    from scipy.stats import binomtest  # noqa: PLC0415 - takes two seconds

    found = binomtest(part, whole).proportion_ci(CONFIDENCE, method="wilson")
    # rounding can leave the proportion outside by one in 10^16
    value = part / whole
    return Estimate(value, min(float(found.low), value), max(float(found.high), value))


def f1(hits: int, mistakes: int) -> Estimate:
    """F1 of a label with its interval; mistakes are its misses and false alarms."""
    share = proportion(hits, hits + mistakes)
    if share.low is None or share.high is None:
        return _UNDEFINED
    value = 2 * hits / (2 * hits + mistakes)
    low, high = (2 * end / (1 + end) for end in (share.low, share.high))
    return Estimate(value, min(low, value), max(high, value))


def bootstrap(
    counts: Sequence[int],
    figure: Callable[[Sequence[int]], float | None],
    *,
    labels: int,
    resamples: int,
    seed: int,
) -> Estimate:
    """A figure of counts with its bootstrap interval.

    The counts are those of `labels` true labels, one label's cells after another's. A true label
    without rows is not drawn. A resample in which the figure is undefined does not count. An
    interval always contains its figure.
    """
    value = figure(counts)
    if value is None:
        return _UNDEFINED
    weights = np.array(counts, dtype=float).reshape(labels, -1)
    occurs = weights.any(axis=1)
    weights[occurs] += _ADDED_ROWS / weights[occurs].size
    draw = np.random.default_rng([seed, *counts])
    drawn = draw.multinomial(sum(counts), weights.ravel() / weights.sum(), size=resamples)
    seen = [one for one in map(figure, drawn.tolist()) if one is not None]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile([value, *seen], [tail, 1 - tail]).tolist()
    return Estimate(value, min(low, value), max(high, value))
