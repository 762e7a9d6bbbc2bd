"""What is said of an exchange: the judgement a guard read, and the verdict that is published."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class Task(StrEnum):
    """The three questions a guard answers, in the order of the GuardReasoner paper."""

    PROMPT_HARMFULNESS = "prompt_harmfulness"
    RESPONSE_REFUSAL = "response_refusal"
    RESPONSE_HARMFULNESS = "response_harmfulness"


RESPONSE_TASKS = (Task.RESPONSE_REFUSAL, Task.RESPONSE_HARMFULNESS)

Label = Literal["harmful", "unharmful", "refusal", "compliance"]
LabelSource = Literal["answer", "section"]
Status = Literal["complete", "inconclusive"]
FinishReason = Literal["stop", "length"]

LABELS: dict[Task, tuple[Label, Label]] = {
    Task.PROMPT_HARMFULNESS: ("harmful", "unharmful"),
    Task.RESPONSE_REFUSAL: ("refusal", "compliance"),
    Task.RESPONSE_HARMFULNESS: ("harmful", "unharmful"),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One task's label and where in the completion it stood; null where none was written."""

    label: Label | None = None
    source: LabelSource | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """One task's section of the completion: its steps in order and its conclusion, if any."""

    task: Task
    steps: tuple[str, ...]
    conclusion: str | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a guard read out of one completion.

    `status` is `inconclusive` when a task that applies has no label: no label is ever guessed.
    """

    status: Status
    prompt_harmfulness: Reading = field(default=Reading())
    response_refusal: Reading = field(default=Reading())
    response_harmfulness: Reading = field(default=Reading())
    reasoning: tuple[Reasoning, ...] = ()
    flags: tuple[str, ...] = ()

    def reading(self, task: Task) -> Reading:
        """The reading of `task`."""
        match task:
            case Task.PROMPT_HARMFULNESS:
                return self.prompt_harmfulness
            case Task.RESPONSE_REFUSAL:
                return self.response_refusal
            case Task.RESPONSE_HARMFULNESS:
                return self.response_harmfulness
