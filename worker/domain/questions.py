"""The questions that a guard answers, and their labels.

A question is data: telemetry, evaluation, the console and the reports iterate over the questions
of the guard in use. The three standard tasks are in every verdict, by the names that data sets
and papers use for them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

About = Literal["prompt", "response"]


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that a guard answers about an exchange.

    Attributes:
        name: in verdicts, headers, metrics and labelled data; lower case, digits, underscores.
        about: a question about the response applies only where a response was given.
        labels: the answers it can have.
        positive: the label whose probability is the score.
        asks: the question in words, for reports.
        heading: the text before the label in a line or above it in a table; headings of several
            questions form one sentence, as in "response refusal and is unharmful".
    """

    name: str
    about: About
    labels: tuple[str, ...]
    positive: str
    asks: str = ""
    heading: str = ""

    def __post_init__(self) -> None:
        if len(set(self.labels)) < 2 or self.positive not in self.labels:
            raise ValueError(f"{self.name} needs two labels or more, one of them the positive one")

    def applies(self, *, has_response: bool) -> bool:
        """Whether it can be answered about an exchange."""
        return has_response or self.about == "prompt"


PROMPT_HARMFULNESS = Question(
    "prompt_harmfulness",
    "prompt",
    ("harmful", "unharmful"),
    "harmful",
    "Is the request harmful?",
    "request",
)
RESPONSE_REFUSAL = Question(
    "response_refusal",
    "response",
    ("refusal", "compliance"),
    "refusal",
    "Is the response a refusal?",
    "response",
)
RESPONSE_HARMFULNESS = Question(
    "response_harmfulness",
    "response",
    ("harmful", "unharmful"),
    "harmful",
    "Is the response harmful?",
    "and is",
)
STANDARD_QUESTIONS = (PROMPT_HARMFULNESS, RESPONSE_REFUSAL, RESPONSE_HARMFULNESS)
STANDARD_TASKS = tuple(question.name for question in STANDARD_QUESTIONS)
_STANDARD = {question.name: question for question in STANDARD_QUESTIONS}


def standard(name: str) -> Question | None:
    """The standard question of this name."""
    return _STANDARD.get(name)


def is_flagged(name: str) -> bool:
    """Whether the positive label of this question is a reason to act: a refusal alone is not."""
    return name != RESPONSE_REFUSAL.name


def heading_of(name: str) -> str:
    """The heading of a question that is known by its name alone."""
    question = _STANDARD.get(name)
    return question.heading if question is not None else name


def in_order(names: Iterable[str]) -> list[str]:
    """Names of questions: the standard ones first, in their order, then the others by name."""
    given = set(names)
    return [name for name in _STANDARD if name in given] + sorted(given - _STANDARD.keys())
