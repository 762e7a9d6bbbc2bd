"""How far two guards agree on the same events, without labels.

Cohen's kappa compares the agreement with what two guards would have by chance that give each label
as often as these two do: 1 is full agreement, 0 no more than chance (Cohen 1960, Educational and
Psychological Measurement 20:37). Its interval is the bootstrap's of `intervals`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappush, heappushpop

from worker.domain.questions import in_order, standard
from worker.evaluation.intervals import Estimate, bootstrap, proportion
from worker.evaluation.verdict_labels import Label, VerdictLabels

Pair = tuple[str | None, str | None]
_NONE = Label(None, None)


@dataclass(frozen=True, slots=True)
class Difference:
    """An event to which two guards give different labels."""

    event_id: str
    task: str
    ours: Label
    theirs: Label

    @property
    def size(self) -> float:
        """How far apart the scores are; 1 where one is missing."""
        if self.ours.score is None or self.theirs.score is None:
            return 1.0
        return abs(self.ours.score - self.theirs.score)


@dataclass(frozen=True, slots=True)
class TaskAgreement:
    """One task, over the events in both files.

    Attributes:
        positive: the label that the rates are of; null for a question that is not a standard one.
        compared: events to which both gave a label.
        labels_missing: where only our guard gave no label, and where only theirs did.
        pairs: how many events have each pair of labels, ours first.
    """

    positive: str | None
    compared: int
    agreement: Estimate
    kappa: Estimate
    our_rate: Estimate | None
    their_rate: Estimate | None
    labels_missing: tuple[int, int]
    pairs: dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two files of verdicts.

    Attributes:
        events: in both files.
        only: events in only one of the files.
        repeated: verdicts of an event that came before; the first one counts.
        inconclusive: events with an inconclusive verdict in ours only, in theirs only, in both.
        differences: those with the largest difference of scores.
    """

    guards: tuple[tuple[str, ...], tuple[str, ...]]
    events: int
    only: tuple[int, int]
    repeated: tuple[int, int]
    inconclusive: tuple[int, int, int]
    tasks: dict[str, TaskAgreement]
    differences: list[Difference]

    @property
    def least(self) -> float | None:
        """The least agreement of all tasks; null if nothing could be compared."""
        found = (task.agreement.value for task in self.tasks.values())
        return min((value for value in found if value is not None), default=None)


@dataclass(slots=True)
class _Examples:
    """The largest differences of a task; of equal ones the first."""

    most: int
    heap: list[tuple[float, int, Difference]] = field(default_factory=list)
    seen: int = 0

    def add(self, one: Difference) -> None:
        self.seen += 1
        entry = (one.size, -self.seen, one)
        if len(self.heap) < self.most:
            heappush(self.heap, entry)
        elif self.heap:
            heappushpop(self.heap, entry)

    def largest_first(self) -> list[Difference]:
        return [one for *_, one in sorted(self.heap, key=lambda entry: entry[:2], reverse=True)]


def compare_verdicts(
    ours: Iterable[VerdictLabels],
    theirs: Iterable[VerdictLabels],
    *,
    examples: int = 10,
    resamples: int = 1000,
    seed: int = 0,
) -> Agreement:
    """Compare verdicts with those of another guard on the same events.

    The labels of ours are held; theirs are read one by one. Of each task at most `examples`
    differences are given.
    """
    held, our_guards, repeated = _hold(ours)
    expected = len(held)
    found = _Found(examples)
    their_guards = set[str]()
    for one in theirs:
        their_guards.add(one.guard)
        other = held.get(one.key, _MISSING)
        if other is None:
            found.repeated += 1
        elif other is _MISSING:
            found.only_theirs += 1
        else:
            held[one.key] = None
            found.add(other, one)
    tasks = {task: _agreement(task, found.pairs[task], resamples, seed) for task in found.tasks()}
    return Agreement(
        guards=(tuple(sorted(our_guards)), tuple(sorted(their_guards))),
        events=found.events,
        only=(expected - found.events, found.only_theirs),
        repeated=(repeated, found.repeated),
        inconclusive=(
            found.inconclusive[True, False],
            found.inconclusive[False, True],
            found.inconclusive[True, True],
        ),
        tasks=tasks,
        differences=[
            one
            for task in tasks
            if task in found.examples
            for one in found.examples[task].largest_first()
        ],
    )


# whether it is inconclusive, and its labels: few are different, and equal ones are one object
Held = tuple[bool, tuple[tuple[str, Label], ...]]
_MISSING: Held = (False, ())


def _hold(verdicts: Iterable[VerdictLabels]) -> tuple[dict[str, Held | None], set[str], int]:
    """Labels by what events are matched by, the guards, and how many verdicts are repeated."""
    held: dict[str, Held | None] = {}
    known: dict[Held, Held] = {}
    guards = set[str]()
    repeated = 0
    for one in verdicts:
        guards.add(one.guard)
        if one.key in held:
            repeated += 1
            continue
        labels: Held = (one.is_inconclusive, tuple(one.labels.items()))
        scored = any(label.score is not None for label in one.labels.values())
        held[one.key] = labels if scored else known.setdefault(labels, labels)
    return held, guards, repeated


class _Found:
    """What is counted over the events in both files."""

    def __init__(self, examples: int) -> None:
        self._most = examples
        self.events = self.only_theirs = self.repeated = 0
        self.inconclusive = Counter[tuple[bool, bool]]()
        self.pairs: dict[str, Counter[Pair]] = {}
        self.examples: dict[str, _Examples] = {}

    def add(self, held: Held, theirs: VerdictLabels) -> None:
        is_inconclusive, labels = held
        self.events += 1
        self.inconclusive[is_inconclusive, theirs.is_inconclusive] += 1
        ours = dict(labels)
        for task in ours.keys() | theirs.labels.keys():
            mine, other = ours.get(task, _NONE), theirs.labels.get(task, _NONE)
            self.pairs.setdefault(task, Counter())[mine.label, other.label] += 1
            if None not in {mine.label, other.label} and mine.label != other.label:
                kept = self.examples.setdefault(task, _Examples(self._most))
                kept.add(Difference(theirs.event_id, task, mine, other))

    def tasks(self) -> list[str]:
        """Those to which one of both gave a label."""
        return in_order(task for task, pairs in self.pairs.items() if pairs.keys() - {(None, None)})


def _agreement(task: str, counted: Counter[Pair], resamples: int, seed: int) -> TaskAgreement:
    question = standard(task)
    pairs = {pair: n for pair, n in counted.items() if None not in pair}
    labels = list(question.labels) if question else []
    labels += sorted({str(label) for pair in pairs for label in pair} - set(labels))
    table = [[pairs.get((mine, other), 0) for other in labels] for mine in labels]
    compared = sum(pairs.values())
    agreed = sum(n for (mine, other), n in pairs.items() if mine == other)
    positive = question.positive if question else None
    return TaskAgreement(
        positive=positive,
        compared=compared,
        agreement=proportion(agreed, compared),
        kappa=bootstrap(
            [n for row in table for n in row], kappa, labels=1, resamples=resamples, seed=seed
        ),
        our_rate=_rate(pairs, 0, positive, compared),
        their_rate=_rate(pairs, 1, positive, compared),
        labels_missing=(
            sum(n for (mine, other), n in counted.items() if mine is None and other is not None),
            sum(n for (mine, other), n in counted.items() if mine is not None and other is None),
        ),
        pairs={
            mine: dict(zip(labels, row, strict=True))
            for mine, row in zip(labels, table, strict=True)
        },
    )


def _rate(pairs: dict[Pair, int], side: int, positive: str | None, whole: int) -> Estimate | None:
    if positive is None:
        return None
    return proportion(sum(n for pair, n in pairs.items() if pair[side] == positive), whole)


def kappa(counts: Sequence[int]) -> float | None:
    """Cohen's kappa of a square table, row after row; null where chance alone agrees fully."""
    width = round(len(counts) ** 0.5)
    total = sum(counts)
    if not total:
        return None
    agreed = sum(counts[:: width + 1]) / total
    rows = [sum(counts[at : at + width]) for at in range(0, len(counts), width)]
    columns = [sum(counts[at::width]) for at in range(width)]
    chance = sum(r * c for r, c in zip(rows, columns, strict=True)) / total**2
    return None if chance == 1 else (agreed - chance) / (1 - chance)
