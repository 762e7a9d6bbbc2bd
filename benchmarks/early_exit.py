"""How early a completion says its labels: `python -m benchmarks.early_exit COMPLETIONS`.

COMPLETIONS is what `guardstream evaluate --save-completions` wrote. A guard that was not trained to
answer first could be stopped where the section of a task ends, and its label be read there. For
each task this prints how many sections state a label by themselves, how often it is the label of
the complete answer, and which share of the completion is written by then. Each cut text is read by
the guard's own reader. Shares are of characters: they are nearly those of tokens.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import median, table
from worker.domain.questions import STANDARD_QUESTIONS
from worker.evaluation.stored import read_stored
from worker.guards.guardreasoner.parser import parse

_HEADING = "# Task {}"
_ANSWERS = "Answers:"


def sections(text: str) -> Iterator[str]:
    """The completion up to the end of the section of each task."""
    for number in range(1, len(STANDARD_QUESTIONS) + 1):
        following = _HEADING.format(number + 1)
        end = text.find(following if number < len(STANDARD_QUESTIONS) else _ANSWERS)
        yield text[:end] if end >= 0 else text


def report(completions: list[str]) -> str:
    """A table with a row for each task, over completions that have all three labels."""
    rows = []
    whole = [
        (text, read)
        for text in completions
        if (read := parse(text, has_response=True, finish_reason="stop")).status == "complete"
    ]
    for at, question in enumerate(STANDARD_QUESTIONS):
        stated, same, shares = 0, 0, []
        for text, read in whole:
            cut = list(sections(text))[at]
            early = parse(cut, has_response=True, finish_reason="stop").reading(question.name)
            shares.append(len(cut) / len(text))
            stated += early.label is not None
            same += early.label == read.reading(question.name).label
        count = max(len(whole), 1)
        rows.append(
            [
                question.name,
                f"{stated / count:.1%}",
                f"{same / max(stated, 1):.2%}",
                f"{median(shares) if shares else 0:.0%}",
            ]
        )
    head = ["task", "sections that state a label", "the same as the answer", "written by then"]
    return f"{len(whole)} completions.\n\n{table(head, rows)}"


if __name__ == "__main__":
    stored = read_stored(Path(sys.argv[1])).completions.values()
    print(report([one.completion for one in stored if isinstance(one.completion, str)]))
