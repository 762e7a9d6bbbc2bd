"""The calibration of a guard: all its questions, and what each mode of reasoning would do."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.domain.engines import EngineReference
from worker.domain.errors import UnusableFile
from worker.domain.questions import Question
from worker.domain.verdicts import GuardReference
from worker.evaluation.answers import Answer
from worker.evaluation.calibrating import calibrate_question
from worker.evaluation.gating import measure_gating
from worker.evaluation.labelled import Labelled
from worker.evaluation.modes import Bootstrap, simulate_modes
from worker.evaluation.question_columns import LEAST_LABELS, Aims
from worker.evaluation.scored import NotScored, Stages, scored_events
from worker.runtime.calibration_document import (
    CalibratedGuard,
    CalibrationData,
    CalibrationFile,
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose scores they are, when and by which version the calibration is made."""

    guard: GuardReference
    engine: EngineReference
    made_at: str
    guardstream: str


def require_labels(labelled: Labelled) -> None:
    """Refuse a file that no question can be calibrated on, before the long work.

    Raises:
        UnusableFile: no question has enough labels.
    """
    counts = {
        question.name: sum(one.labels[question.name] is not None for one in labelled.events)
        for question in labelled.questions
    }
    few = {name: count for name, count in counts.items() if 0 < count < LEAST_LABELS}
    if few or not any(counts.values()):
        name = min(few or counts)
        raise UnusableFile(
            f"{labelled.name} has {counts[name]} labels of {name}, and a calibration takes"
            f" {LEAST_LABELS} or more: label more events."
        )


def calibrate(
    guards: Stages,
    labelled: Labelled,
    answers: Mapping[str, Answer],
    *,
    origin: Origin,
    aims: Aims,
    bootstrap: Bootstrap,
) -> tuple[CalibrationFile, list[NotScored]]:
    """The calibration of the questions that have labels, and the events that it leaves out.

    Raises:
        UnusableFile: no event has scores, or too few have labels.
    """
    events, others = scored_events(guards, labelled.events, answers)
    if not events:
        reason = others[0].reason if others else "There are no events."
        raise UnusableFile(f"No event of {labelled.name} has scores of both stages: {reason}")
    questions = [
        calibrate_question(question, events, aims)
        for question in _labelled_questions(guards.both.questions, labelled)
    ]
    guard = origin.guard
    document = CalibrationFile(
        guardstream=origin.guardstream,
        made_at=origin.made_at,
        guard=CalibratedGuard(guard.name, guard.model, guard.revision, guard.prompt_sha256),
        engine=origin.engine,
        data=CalibrationData(labelled.name, labelled.sha256, len(events)),
        folds=aims.folds,
        seed=aims.seed,
        questions={one.question.name: one.figures for one in questions},
        modes=simulate_modes(
            questions,
            events,
            of=[question.name for question in guards.both.questions],
            budget=aims.budget,
            bootstrap=bootstrap,
        ),
        gating=measure_gating(guards, labelled.events, answers),
    )
    return document, others


def _labelled_questions(questions: Sequence[Question], labelled: Labelled) -> Iterable[Question]:
    return [
        one
        for one in questions
        if any(event.labels.get(one.name) is not None for event in labelled.events)
    ]
