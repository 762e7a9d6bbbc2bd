"""Two guards, or two runs of one, on the same events.

McNemar's test asks whether one is right more often than the other where exactly one of them is: its
p is the chance of a split at least as uneven if both were equally good. It is the exact one, from
the binomial distribution. An unreadable label counts as wrong, as in the strict figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from worker.domain.verdicts import Label, Task
from worker.evaluation.resampling import Estimate, estimates
from worker.evaluation.scoring import Confusion, cell, strict

_SAID = 3
_CELLS = 2 * _SAID * _SAID


class Pair(NamedTuple):
    """What is true of a row, and what each of two guards said of it."""

    labels: Mapping[Task, Label | None]
    ours: Mapping[Task, Label | None]
    theirs: Mapping[Task, Label | None]


@dataclass(frozen=True, slots=True)
class TaskComparison:
    """One task, over the rows that both were asked about.

    Attributes:
        difference: of the strict F1: ours less theirs.
        only_ours: rows on which only we are right.
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
    trials, fewer = only_ours + only_theirs, min(only_ours, only_theirs)
    ways, at_most = 1, 0
    for successes in range(fewer + 1):
        at_most += ways
        ways = ways * (trials - successes) // (successes + 1)
    # whole numbers of any size are divided exactly
    return min(1.0, 2 * at_most / 2**trials) if trials else 1.0


def compare_task(task: Task, pairs: Sequence[Pair], *, resamples: int, seed: int) -> TaskComparison:
    """Set two guards side by side on one task."""
    counts = [0] * _CELLS
    right = [0] * 4
    for labels, ours, theirs in pairs:
        truth = labels.get(task)
        if truth is None:
            continue
        mine, other = ours.get(task), theirs.get(task)
        counts[_SAID * cell(task, truth, mine) + cell(task, truth, other) % _SAID] += 1
        right[2 * (mine == truth) + (other == truth)] += 1
    neither, only_theirs, only_ours, both = right
    return TaskComparison(
        labelled=sum(counts),
        f1=strict(_ours(counts)).f1,
        other_f1=strict(_theirs(counts)).f1,
        difference=estimates(counts, _difference, resamples=resamples, seed=seed)[0],
        both_right=both,
        only_ours=only_ours,
        only_theirs=only_theirs,
        neither=neither,
        p=mcnemar(only_ours, only_theirs),
    )


def _ours(counts: Sequence[int]) -> Confusion:
    return Confusion(*(sum(counts[at : at + _SAID]) for at in range(0, _CELLS, _SAID)))


def _theirs(counts: Sequence[int]) -> Confusion:
    half = _SAID * _SAID
    return Confusion(
        *(sum(counts[start + at : start + half : _SAID]) for start in (0, half) for at in range(3))
    )


def _difference(counts: Sequence[int]) -> tuple[float | None]:
    ours, theirs = strict(_ours(counts)).f1, strict(_theirs(counts)).f1
    return (None if ours is None or theirs is None else ours - theirs,)
