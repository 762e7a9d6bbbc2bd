"""From answers to results: the figures of each task and slice."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import orjson

from worker.domain.errors import UnusableFile
from worker.domain.questions import Question
from worker.evaluation.answers import Answer
from worker.evaluation.categories import category_figures
from worker.evaluation.intervals import CONFIDENCE, bootstrap, f1, proportion
from worker.evaluation.labelled import Labelled, LabelledEvent
from worker.evaluation.results import (
    Costs,
    Evaluation,
    Provenance,
    ScoredRow,
    Slice,
    TaskFigures,
)
from worker.evaluation.score_figures import ScoreFigures, score_figures
from worker.evaluation.scoring import Confusion, Tally, lenient, strict

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

    def figures(chosen: Sequence[ScoredRow]) -> dict[str, TaskFigures]:
        tally = Tally(labelled.questions)
        for row in chosen:
            tally.add(row.labels, row.predicted)
        return {
            question.name: _task_figures(
                tally.confusion(question),
                scores=_score_figures(question, chosen),
                resamples=resamples,
                seed=seed,
            )
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
        costs=_costs(rows),
        categories=category_figures(rows),
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
        scores=answer.scores,
        reasoned=answer.reasoned,
        tokens=answer.usage.completion_tokens if answer.usage else None,
        requests=answer.usage.requests if answer.usage else None,
        categories=event.categories,
        predicted_categories=answer.categories,
    )


def _costs(rows: Sequence[ScoredRow]) -> dict[str, Costs]:
    """Of all verdicts whose cost is known, then by whether the guard reasoned."""
    kinds = {"all": (True, False, None), "reasoned": (True,), "not reasoned": (False,)}
    found = {}
    for name, chosen in kinds.items():
        spent = [
            (row.tokens, row.requests)
            for row in rows
            if row.reasoned in chosen and row.tokens is not None and row.requests is not None
        ]
        if spent:
            tokens, requests = (sum(one) / len(spent) for one in zip(*spent, strict=True))
            found[name] = Costs(len(spent), tokens, requests)
    return found


def _score_figures(question: Question, rows: Iterable[ScoredRow]) -> ScoreFigures | None:
    found = [
        (row.labels[question.name] == question.positive, row.scores[question.name])
        for row in rows
        if row.labels.get(question.name) is not None and question.name in row.scores
    ]
    if not found:
        return None
    truths, scores = zip(*found, strict=True)
    return score_figures(np.array(scores, dtype=float), np.array(truths, dtype=bool))


def _task_figures(
    counts: Confusion, *, scores: ScoreFigures | None, resamples: int, seed: int
) -> TaskFigures:
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
        scores=scores,
    )
