"""The block of answers, in the pieces in which it is asked for and learnt.

Each heading continues what comes before it as a text of its own, and each label follows its heading
as a text of its own. A guard that is asked for its answers before any reasoning, a completion that
is repaired and the rows of a training are thus the same tokens.
"""

from collections.abc import Iterator, Sequence

from worker.domain.questions import STANDARD_QUESTIONS, Question
from worker.guards.guardreasoner.scan import FIELDS

BLOCK = "Answers: \n"
_NAMES = {task: name.capitalize() for name, task in FIELDS.items()}


def questions_of(*, has_response: bool) -> tuple[Question, ...]:
    """The questions that apply, in the order of the block."""
    return STANDARD_QUESTIONS if has_response else STANDARD_QUESTIONS[:1]


def headings(questions: Sequence[Question]) -> Iterator[tuple[Question, str]]:
    """Each question with the text that comes before its label."""
    before = BLOCK
    for question in questions:
        yield question, f"{before}{_NAMES[question.name]}:"
        before = "\n"


def written(label: str) -> str:
    """A label as it follows its heading."""
    return f" {label}"
