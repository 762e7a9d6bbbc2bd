"""Two guards, or two runs of one, on the same events.

McNemar's test looks at the rows on which exactly one of the two is right: its p is the probability
of a split at least as uneven if both were equally good. It is the exact test, by the binomial
distribution. An unreadable label counts as wrong, as in the strict figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from worker.domain.questions import Question
from worker.evaluation.intervals import Estimate, bootstrap
from worker.evaluation.score_figures import (
    FALSE_POSITIVE_RATES,
    paired_difference,
    rank_auc,
    rank_tpr,
)
from worker.evaluation.scoring import Confusion, cell, column, count_cells, f1_of


class Pair(NamedTuple):
    """A row's labels, and what each of two guards predicted."""

    labels: Mapping[str, str | None]
    ours: Mapping[str, str | None]
    theirs: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class ScoreComparison:
    """The scores of one task, over the labelled rows for which both have one.

    Attributes:
        auc_difference: ours minus theirs, with its bootstrap interval; so are the others.
    """

    rows: int
    auc: float
    other_auc: float
    auc_difference: Estimate
    tpr_at_1_percent_difference: Estimate
    tpr_at_01_percent_difference: Estimate


@dataclass(frozen=True, slots=True)
class TaskComparison:
    """One task, over the rows that both have judged.

    Attributes:
        difference: of the strict F1: ours minus theirs.
        only_ours: rows on which only ours is right.
        p: McNemar's, two-sided.
    """

    labelled: int
    f1: float | None
    other_f1: float | None
    difference: Estimate
    both_right: int
    only_ours: int
    only_theirs: int
    neither: int
    p: float
    scores: ScoreComparison | None = None


def mcnemar(only_ours: int, only_theirs: int) -> float:
    """The two-sided p of McNemar's exact test."""
    from scipy.stats import binomtest  # noqa: PLC0415 - takes two seconds

    trials = only_ours + only_theirs
    return float(binomtest(only_ours, trials).pvalue) if trials else 1.0


def compare_task(
    question: Question, pairs: Sequence[Pair], *, resamples: int, seed: int
) -> TaskComparison:
    """Compare two guards on one question."""
    width = len(question.labels) + 1
    counts = [0] * (count_cells(question) * width)
    right = [0] * 4
    for labels, ours, theirs in pairs:
        truth = labels.get(question.name)
        if truth is None:
            continue
        mine, other = ours.get(question.name), theirs.get(question.name)
        counts[width * cell(question, truth, mine) + column(question, other)] += 1
        right[2 * (mine == truth) + (other == truth)] += 1
    neither, only_theirs, only_ours, both = right

    def difference(drawn: Sequence[int]) -> float | None:
        ours, theirs = _both(question, drawn)
        positive = question.positive
        mine, other = f1_of(ours, positive), f1_of(theirs, positive)
        return None if mine is None or other is None else mine - other

    ours_alone, theirs_alone = _both(question, counts)
    return TaskComparison(
        labelled=sum(counts),
        f1=f1_of(ours_alone, question.positive),
        other_f1=f1_of(theirs_alone, question.positive),
        difference=bootstrap(
            counts, difference, labels=len(question.labels), resamples=resamples, seed=seed
        ),
        both_right=both,
        only_ours=only_ours,
        only_theirs=only_theirs,
        neither=neither,
        p=mcnemar(only_ours, only_theirs),
    )


def compare_scores(
    question: Question,
    rows: Sequence[tuple[str, float, float]],
    *,
    resamples: int,
    seed: int,
) -> ScoreComparison | None:
    """Compare the scores of two guards; None where the labels are all alike.

    Args:
        question: which one.
        rows: the label, our score and theirs.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    truths = np.array([label == question.positive for label, _, _ in rows], dtype=bool)
    if truths.all() or not truths.any():
        return None
    ours, theirs = (np.array([row[at] for row in rows], dtype=float) for at in (1, 2))
    auc, one, tenth = (
        paired_difference(figure, ours, theirs, truths, resamples=resamples, seed=seed)
        for figure in (rank_auc, *map(rank_tpr, FALSE_POSITIVE_RATES))
    )
    return ScoreComparison(
        len(rows), rank_auc(ours, truths), rank_auc(theirs, truths), auc, one, tenth
    )


def _both(question: Question, counts: Sequence[int]) -> tuple[Confusion, Confusion]:
    """Each guard's confusion: counts are by true label, then by our prediction, then by theirs."""
    width = len(question.labels) + 1
    square = width * width
    ours = [sum(counts[at : at + width]) for at in range(0, len(counts), width)]
    theirs = [
        sum(counts[start + at : start + square : width])
        for start in range(0, len(counts), square)
        for at in range(width)
    ]
    return Confusion(question, ours), Confusion(question, theirs)
