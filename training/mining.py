"""Hard samples: items that a guard judges now right, now wrong, and a pair of each.

Whether an item is hard is decided on the request, then on the response, then on the completion (the
refusal), as GuardReasoner's names for the three tasks go: the first on which right and wrong are
mixed decides. A label that cannot be read is wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.domain.questions import PROMPT_HARMFULNESS, RESPONSE_HARMFULNESS, RESPONSE_REFUSAL

ORDER = (PROMPT_HARMFULNESS.name, RESPONSE_HARMFULNESS.name, RESPONSE_REFUSAL.name)

Labels = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class HardSample:
    """One pair of a hard item, by the numbers of its completions.

    Attributes:
        task: that on which right and wrong are mixed.
        right: how many completions are right on it.
        wrong: how many are not.
    """

    task: str
    chosen: int
    rejected: int
    right: int
    wrong: int


def mine(labels: Labels, said: Sequence[Labels]) -> HardSample | None:
    """The pair of an item, or None if it is not hard; `said` holds the labels of each completion.

    Of the right ones the chosen is the one with the fewest faults on the other tasks, of the wrong
    ones the rejected is the one with the most; the first of those that are equal.
    """
    for task in ORDER:
        if labels[task] is None:
            continue
        right = [n for n, one in enumerate(said) if one[task] == labels[task]]
        wrong = [n for n, one in enumerate(said) if one[task] != labels[task]]
        if right and wrong:
            faults = [_faults(labels, one) for one in said]
            chosen = min(right, key=lambda n: (faults[n], n))
            rejected = max(wrong, key=lambda n: (faults[n], -n))
            return HardSample(task, chosen, rejected, len(right), len(wrong))
    return None


def is_right(labels: Labels, said: Labels) -> bool:
    """Whether all tasks that are labelled were judged right."""
    return not _faults(labels, said)


def _faults(labels: Labels, said: Labels) -> int:
    return sum(label is not None and said[task] != label for task, label in labels.items())


def weight(right: int, wrong: int, gamma: float) -> float:
    """The pair's weight in HS-DPO: above 1 where the guard is more often wrong than right.

    `wrong - right` lies between -(k - 2) and k - 2 for a hard item of k completions, and is mapped
    onto -gamma to gamma: 0.8, 1.0 and 1.2 for k = 4 and gamma = 0.2.
    """
    widest = right + wrong - 2
    return 1.0 + (gamma * (wrong - right) / widest if widest else 0.0)
