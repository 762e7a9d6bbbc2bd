"""Two guards, or two runs of one, on the same events.

McNemar's test looks at the rows on which exactly one of the two is right: its p is the probability
of a split at least as uneven if both were equally good. It is the exact test, by the binomial
distribution. An unreadable label counts as wrong, as in the strict figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from worker.domain.verdicts import Label, Task
from worker.evaluation.intervals import Estimate, bootstrap
from worker.evaluation.scoring import Confusion, cell, strict

_PREDICTIONS = 3
_CELLS = 2 * _PREDICTIONS * _PREDICTIONS


class Pair(NamedTuple):
    """A row's labels, and what each of two guards predicted."""

    labels: Mapping[Task, Label | None]
    ours: Mapping[Task, Label | None]
    theirs: Mapping[Task, Label | None]


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


def mcnemar(only_ours: int, only_theirs: int) -> float:
    """The two-sided p of McNemar's exact test."""
    from scipy.stats import binomtest  # noqa: PLC0415 - takes two seconds

    trials = only_ours + only_theirs
    return float(binomtest(only_ours, trials).pvalue) if trials else 1.0


def compare_task(task: Task, pairs: Sequence[Pair], *, resamples: int, seed: int) -> TaskComparison:
    """Compare two guards on one task."""
    counts = [0] * _CELLS
    right = [0] * 4
    for labels, ours, theirs in pairs:
        truth = labels.get(task)
        if truth is None:
            continue
        mine, other = ours.get(task), theirs.get(task)
        counts[
            _PREDICTIONS * cell(task, truth, mine) + cell(task, truth, other) % _PREDICTIONS
        ] += 1
        right[2 * (mine == truth) + (other == truth)] += 1
    neither, only_theirs, only_ours, both = right
    return TaskComparison(
        labelled=sum(counts),
        f1=strict(_ours(counts)).f1,
        other_f1=strict(_theirs(counts)).f1,
        difference=bootstrap(counts, _difference, labels=2, resamples=resamples, seed=seed),
        both_right=both,
        only_ours=only_ours,
        only_theirs=only_theirs,
        neither=neither,
        p=mcnemar(only_ours, only_theirs),
    )


def _ours(counts: Sequence[int]) -> Confusion:
    return Confusion(
        *(sum(counts[at : at + _PREDICTIONS]) for at in range(0, _CELLS, _PREDICTIONS))
    )


def _theirs(counts: Sequence[int]) -> Confusion:
    half = _PREDICTIONS * _PREDICTIONS
    return Confusion(
        *(
            sum(counts[start + at : start + half : _PREDICTIONS])
            for start in (0, half)
            for at in range(3)
        )
    )


def _difference(counts: Sequence[int]) -> float | None:
    ours, theirs = strict(_ours(counts)).f1, strict(_theirs(counts)).f1
    return None if ours is None or theirs is None else ours - theirs
