"""From answers to results: the figures of each task and slice, and the comparison with another."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from worker.domain.errors import UnusableFile
from worker.domain.guard import Guard
from worker.domain.questions import STANDARD_QUESTIONS, Question
from worker.domain.verdicts import GuardReference
from worker.evaluation.answers import Answer
from worker.evaluation.comparing import Pair, compare_task
from worker.evaluation.intervals import CONFIDENCE, bootstrap, f1, proportion
from worker.evaluation.labelled import Labelled, LabelledEvent
from worker.evaluation.results import (
    Comparison,
    Disagreement,
    Evaluation,
    Provenance,
    ScoredRow,
    Slice,
    TaskFigures,
    read_evaluation,
)
from worker.evaluation.scoring import Confusion, Tally, lenient, strict
from worker.evaluation.stored import read_stored

_MAX_SLICE_VALUES = 100
_NO_VALUE = "(none)"


def evaluate(
    labelled: Labelled,
    answers: Mapping[str, Answer],
    *,
    provenance: Provenance,
    slices: Sequence[str],
    resamples: int,
    seed: int,
) -> Evaluation:
    """Score the answers to a file's events.

    Answers are found by the event's id; a slice is the path of a field: `metadata.category`.

    Raises:
        UnusableFile: no event has a slice's field, or it has too many values.
    """
    by_slice = {field: slice_values(labelled.events, field) for field in slices}
    rows = [_row(event, answers[event.id]) for event in labelled.events]

    def figures(chosen: Iterable[ScoredRow]) -> dict[str, TaskFigures]:
        tally = Tally(labelled.questions)
        for row in chosen:
            tally.add(row.labels, row.predicted)
        return {
            question.name: _task_figures(tally.confusion(question), resamples=resamples, seed=seed)
            for question in labelled.questions
        }

    statuses = Counter(row.status for row in rows)
    return Evaluation(
        provenance=provenance,
        seed=seed,
        resamples=resamples,
        confidence=CONFIDENCE,
        statuses={name: statuses[name] for name in ("complete", "inconclusive", "unjudged")},
        flags=dict(Counter(flag for row in rows for flag in row.flags).most_common()),
        left_out=labelled.left_out,
        tasks=figures(rows),
        slices=[
            Slice(field, value, len(chosen), figures(chosen))
            for field, values in by_slice.items()
            for value, chosen in _sliced(rows, values)
        ],
        rows=rows,
    )


def _sliced(rows: Sequence[ScoredRow], values: Sequence[str]) -> list[tuple[str, list[ScoredRow]]]:
    """The rows of each value, the value with the most rows first."""
    groups: defaultdict[str, list[ScoredRow]] = defaultdict(list)
    for row, value in zip(rows, values, strict=True):
        groups[value].append(row)
    return sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))


def slice_values(events: Sequence[LabelledEvent], field: str) -> list[str]:
    """The field's value in each event, as text.

    Raises:
        UnusableFile: no event has the field, or it has too many values.
    """
    values = [_value(event, field) for event in events]
    if not set(values) - {_NO_VALUE}:
        raise UnusableFile(f"No event has {field}; name a slice as metadata.FIELD.")
    if len(set(values)) > _MAX_SLICE_VALUES:
        raise UnusableFile(
            f"{field} has {len(set(values))} values; a slice takes {_MAX_SLICE_VALUES} at most."
        )
    return values


def _value(event: LabelledEvent, field: str) -> str:
    found: Any = event.event.document()
    for name in field.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    match found:
        case None:
            return _NO_VALUE
        case str():
            return found
        case _:
            return orjson.dumps(found, default=str).decode()


def _row(event: LabelledEvent, answer: Answer) -> ScoredRow:
    return ScoredRow(
        id=event.id,
        place=event.place,
        exchange_sha256=event.exchange_sha256,
        status=answer.status,
        labels=event.labels,
        predicted={name: answer.predicted.get(name) for name in event.labels},
        flags=answer.flags,
        reason=answer.reason,
    )


def _task_figures(counts: Confusion, *, resamples: int, seed: int) -> TaskFigures:
    question, positive = counts.question, counts.question.positive

    def macro_f1(drawn: Sequence[int]) -> float | None:
        return strict(Confusion(question, drawn)).macro_f1

    columns = (*question.labels, "unreadable")
    hits, misses, alarms = counts.hits(positive), counts.misses(positive), counts.alarms(positive)
    return TaskFigures(
        asks=question.asks or question.name,
        positive=positive,
        labelled=counts.labelled,
        support=counts.support,
        unreadable=counts.unreadable,
        confusion={
            truth: dict(zip(columns, counts.row(truth), strict=True)) for truth in question.labels
        },
        precision=proportion(hits, hits + alarms),
        recall=proportion(hits, counts.support),
        f1=f1(hits, misses + alarms),
        macro_f1=bootstrap(
            counts.counts, macro_f1, labels=len(question.labels), resamples=resamples, seed=seed
        ),
        lenient=asdict(lenient(counts)),
    )


@dataclass(frozen=True, slots=True)
class Other:
    """What another guard or run predicted, by the event's id.

    Attributes:
        exchanges: the sha256 of each exchange that it judged, where its file holds them.
    """

    name: str
    guard: GuardReference | None
    predicted: dict[str, dict[str, str | None]]
    exchanges: dict[str, str]
    questions: tuple[Question, ...] = STANDARD_QUESTIONS


def read_other(path: Path, labelled: Labelled, guard: Guard) -> Other:
    """Another run's results, completions or verdicts.

    Raises:
        UnusableFile: it holds none of these.
    """
    if (run := read_evaluation(path)) is not None:
        predicted = {row.id: row.predicted for row in run.rows}
        exchanges = {row.id: row.exchange_sha256 for row in run.rows}
        return Other(path.name, run.provenance.guard, predicted, exchanges, labelled.questions)
    stored = read_stored(path)
    predicted = {
        event.id: answer.predicted
        for event in labelled.events
        if (answer := stored.answer(event, guard)).status != "unjudged"
    }
    return Other(path.name, stored.guard, predicted, {}, labelled.questions)


def compare(evaluation: Evaluation, other: Other) -> Evaluation:
    """The evaluation with the comparison in it.

    Raises:
        UnusableFile: the two have no row in common.
    """
    known = [row for row in evaluation.rows if row.id in other.predicted]
    rows = [
        row
        for row in known
        if other.exchanges.get(row.id, row.exchange_sha256) == row.exchange_sha256
    ]
    if not rows:
        raise UnusableFile(
            f"{other.name} holds none of these events; compare runs on the same file."
        )
    pairs = [Pair(row.labels, row.predicted, other.predicted[row.id]) for row in rows]
    comparison = Comparison(
        other=other.name,
        other_guard=other.guard,
        rows=len(rows),
        only_here=len(evaluation.rows) - len(known),
        only_there=len(other.predicted) - len(known),
        changed=len(known) - len(rows),
        tasks={
            question.name: compare_task(
                question, pairs, resamples=evaluation.resamples, seed=evaluation.seed
            )
            for question in other.questions
        },
        disagreements=[
            Disagreement(row.id, task, pair.labels[task], pair.ours[task], pair.theirs.get(task))
            for row, pair in zip(rows, pairs, strict=True)
            for task in pair.labels
            if pair.ours[task] != pair.theirs.get(task)
        ],
    )
    return replace(evaluation, comparison=comparison)
