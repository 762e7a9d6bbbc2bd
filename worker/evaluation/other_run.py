"""The comparison of an evaluation with another guard or run."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from worker.domain.errors import UnusableFile
from worker.domain.guard import Guard
from worker.domain.questions import STANDARD_QUESTIONS, Question
from worker.domain.verdicts import GuardReference
from worker.evaluation.comparing import Pair, ScoreComparison, compare_scores, compare_task
from worker.evaluation.labelled import Labelled
from worker.evaluation.results import (
    Comparison,
    Disagreement,
    Evaluation,
    ScoredRow,
    read_evaluation,
)
from worker.evaluation.stored import read_stored


@dataclass(frozen=True, slots=True)
class Other:
    """What another guard or run predicted, by the event's id.

    Attributes:
        exchanges: the sha256 of each exchange that it judged, where its file holds them.
        scores: the probability of the positive label, where it gives one.
    """

    name: str
    guard: GuardReference | None
    predicted: dict[str, dict[str, str | None]]
    exchanges: dict[str, str]
    questions: tuple[Question, ...] = STANDARD_QUESTIONS
    scores: dict[str, dict[str, float]] = field(default_factory=dict)


def read_other(path: Path, labelled: Labelled, guard: Guard) -> Other:
    """Another run's results, completions or verdicts.

    Raises:
        UnusableFile: it holds none of these.
    """
    if (run := read_evaluation(path)) is not None:
        predicted = {row.id: row.predicted for row in run.rows}
        exchanges = {row.id: row.exchange_sha256 for row in run.rows}
        return Other(
            path.name,
            run.provenance.guard,
            predicted,
            exchanges,
            labelled.questions,
            {row.id: row.scores for row in run.rows},
        )
    stored = read_stored(path)
    answers = {
        event.id: answer
        for event in labelled.events
        if (answer := stored.answer(event, guard)).status != "unjudged"
    }
    return Other(
        path.name,
        stored.guard,
        {name: answer.predicted for name, answer in answers.items()},
        {},
        labelled.questions,
        {name: answer.scores for name, answer in answers.items()},
    )


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
            question.name: replace(
                compare_task(question, pairs, resamples=evaluation.resamples, seed=evaluation.seed),
                scores=_compare_scores(question, evaluation, rows, other),
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


def _compare_scores(
    question: Question, evaluation: Evaluation, rows: Sequence[ScoredRow], other: Other
) -> ScoreComparison | None:
    """The comparison of the scores that both runs have; None without any."""
    name = question.name
    both = [
        (label, row.scores[name], theirs[name])
        for row in rows
        if (label := row.labels.get(name)) is not None
        and name in row.scores
        and name in (theirs := other.scores.get(row.id, {}))
    ]
    if not both:
        return None
    return compare_scores(question, both, resamples=evaluation.resamples, seed=evaluation.seed)
