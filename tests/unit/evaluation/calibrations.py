"""A calibration file's content, for tests."""

from functools import cache

from tests.unit.evaluation.rows import ENGINE, REFERENCE
from tests.unit.evaluation.scores import scored
from worker.domain.questions import STANDARD_QUESTIONS
from worker.evaluation.calibrating import calibrate_question
from worker.evaluation.modes import Bootstrap, simulate_modes
from worker.evaluation.question_columns import Aims
from worker.runtime.calibration_document import (
    CalibratedGuard,
    CalibrationData,
    CalibrationFile,
)

NAMES = tuple(question.name for question in STANDARD_QUESTIONS)


@cache
def calibration(separation=60.0):
    """A calibration of 250 events; all modes are released by default."""
    events = scored(250, separation=separation, mistakes=0.0)
    questions = [calibrate_question(one, events, Aims()) for one in STANDARD_QUESTIONS]
    return CalibrationFile(
        guardstream="1",
        made_at="2026-01-01T00:00:00.000Z",
        guard=CalibratedGuard(
            REFERENCE.name, REFERENCE.model, REFERENCE.revision, REFERENCE.prompt_sha256
        ),
        engine=ENGINE,
        data=CalibrationData("events.jsonl", "ab", len(events)),
        folds=5,
        seed=0,
        questions={one.question.name: one.figures for one in questions},
        modes=simulate_modes(
            questions, events, of=NAMES, budget=0.005, bootstrap=Bootstrap(resamples=100)
        ),
    )
