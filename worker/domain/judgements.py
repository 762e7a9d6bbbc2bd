"""What a guard reads out of the completions for one exchange."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from worker.domain.calibration import Stage
from worker.domain.questions import STANDARD_TASKS, Question

LabelSource = Literal["answer", "section", "score", "repair"]
Status = Literal["complete", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Reading:
    """The answer to one question.

    Attributes:
        label: null where none was written; no label is ever guessed.
        score: the probability of the positive label; null where none was asked for.
        source: where the label was read: the `answer`, the question's own `section` of the
            reasoning, a `score`, or an answer that was forced to `repair` a completion.
    """

    label: str | None = None
    score: float | None = None
    source: LabelSource | None = None


NO_READING = Reading()
_NO_CRITERIA: Mapping[str, Reading] = {}
_STANDARD = frozenset(STANDARD_TASKS)


@dataclass(frozen=True, slots=True)
class Category:
    """What kind of harm a guard found.

    Attributes:
        task: the question that it explains.
        code: the guard's own; `name` is for people.
    """

    task: str
    code: str
    name: str
    score: float | None = None


@dataclass(frozen=True, slots=True)
class StageScore:
    """What the model gave to the labels of a question, before or after it reasoned.

    Attributes:
        raw: the probability of the positive label among all labels, before calibration.
        mass: the probability of all labels together; where it is small, the model was not about to
            answer.
    """

    question: str
    stage: Stage
    raw: float
    mass: float


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The section of a completion on one question: its steps in order, and its conclusion."""

    task: str
    steps: tuple[str, ...]
    conclusion: str | None


# flags that do not depend on the guard
COMMON_FLAGS = {
    "context_truncated": "earlier turns of the conversation were not given to the guard",
    "not_all_text": "the exchange has parts that are not text, which were not judged",
    "simulated": "the engine is simulated, so no model has read the exchange",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answers to a guard's questions about one exchange.

    Attributes:
        status: `inconclusive` when a question that applies has no label.
        readings: by the question's name, of the questions that apply.
        severity: the guard's own level.
        scores: what the readings' scores come from.
        reasoned: whether the guard reasoned before it answered.
    """

    status: Status
    readings: Mapping[str, Reading]
    reasoning: tuple[Reasoning, ...] = ()
    flags: tuple[str, ...] = ()
    categories: tuple[Category, ...] = ()
    severity: str | None = None
    reasoned: bool = True
    scores: tuple[StageScore, ...] = ()

    def reading(self, name: str) -> Reading:
        """The answer to the question of this name; without a label where it does not apply."""
        return self.readings.get(name, NO_READING)

    @property
    def criteria(self) -> Mapping[str, Reading]:
        """The answers to other questions than the three standard tasks."""
        readings = self.readings
        # most guards have no others
        if readings.keys() <= _STANDARD:
            return _NO_CRITERIA
        return {name: reading for name, reading in readings.items() if name not in _STANDARD}


def status_of(
    questions: Iterable[Question], readings: Mapping[str, Reading], *, has_response: bool
) -> Status:
    """`complete` when every question that applies has a label."""
    # a plain loop: each record comes this way
    for question in questions:
        if has_response or question.about == "prompt":
            reading = readings.get(question.name)
            if reading is None or reading.label is None:
                return "inconclusive"
    return "complete"
