"""Training rows from a verdict topic and human labels.

The reasoning of a verdict that agrees with every label of its event is worth learning: it
becomes the row's completion. Any other row has labels alone: it is mined.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.rows import fraction, read_events
from training.runs import write_lines
from worker.domain.errors import UnusableFile
from worker.domain.questions import PROMPT_HARMFULNESS, STANDARD_TASKS
from worker.domain.verdicts import Verdict
from worker.evaluation.labelled import LabelledEvent
from worker.evaluation.stored import read_stored


@dataclass(frozen=True, slots=True)
class Joined:
    """What became of the labelled events.

    Attributes:
        agreed: rows whose verdict is learnt from.
        disagreed: rows whose verdict contradicts the labels.
        unreasoned: rows whose verdict agrees, but has no complete reasoning.
        unjudged: rows without a verdict on just this prompt.
    """

    agreed: int
    disagreed: int
    unreasoned: int
    unjudged: int


def write_rows(verdicts: Path, labels: Path, train: Path, held_out: Path, share: float) -> Joined:
    """Write a row for each labelled event, to train on or to hold out.

    Args:
        verdicts: as `guardstream tail --json` prints them.
        labels: labelled events, as `guardstream evaluate` reads them.
        train: the file of the rows to train on.
        held_out: the file of the others.
        share: of the rows that are held out; which ones depends on their ids alone.

    Raises:
        UnusableFile: a file cannot be read or written, or the two have no event in common.
    """
    events = read_events(labels).events
    found = read_stored(verdicts).verdicts
    counted: Counter[str] = Counter()
    rows = list(_rows(events, found, counted))
    if counted["unjudged"] == len(events):
        raise UnusableFile(
            f"{verdicts} has no verdict on an event of {labels}: they are joined by the events' id."
        )
    chosen = [row for row in rows if fraction(row["id"]) >= share]
    if not chosen or len(chosen) == len(rows):
        raise UnusableFile(f"{labels} has too few rows to hold out a share of {share:g}.")
    write_lines(train, chosen)
    write_lines(held_out, (row for row in rows if fraction(row["id"]) < share))
    return Joined(**{name: counted[name] for name in Joined.__slots__})


def _rows(
    events: list[LabelledEvent], verdicts: Mapping[str, Verdict], counted: Counter[str]
) -> Iterator[dict[str, Any]]:
    for event in events:
        verdict = verdicts.get(event.id)
        completion = None
        if verdict is None:
            fate = "unjudged"
        elif not agrees(event, verdict):
            fate = "disagreed"
        else:
            completion = completion_of(event, verdict)
            fate = "agreed" if completion is not None else "unreasoned"
        counted[fate] += 1
        metadata = event.event.metadata
        row = {
            "id": event.id,
            "prompt": event.exchange.prompt,
            "response": event.exchange.response,
            "labels": event.labels,
            "completion": completion,
            "metadata": metadata if isinstance(metadata, dict) else {},
        }
        yield row


def agrees(event: LabelledEvent, verdict: Verdict) -> bool:
    """Whether a verdict agrees with all labels that people gave."""
    return all(
        label is None or getattr(verdict, task).label == label
        for task, label in event.labels.items()
    )


def completion_of(event: LabelledEvent, verdict: Verdict) -> str | None:
    """The completion that this verdict was read out of, in GuardReasoner's regular form.

    None where the verdict lacks reasoning or a label, or contradicts itself.
    """
    tasks = (
        list(STANDARD_TASKS) if event.exchange.response is not None else [PROMPT_HARMFULNESS.name]
    )
    sections = {section.task: section for section in verdict.reasoning}
    said: dict[str, str | None] = {task: getattr(verdict, task).label for task in STANDARD_TASKS}
    if any(said[task] is None or not _has_steps(sections.get(task)) for task in tasks):
        return None
    if "contradicts_conclusion" in verdict.flags or "simulated" in verdict.flags:
        return None
    parts = []
    for number, task in enumerate(STANDARD_TASKS, start=1):
        section = sections.get(task)
        if section is None:
            continue
        lines = [f"# Task {number}"]
        for step, text in enumerate(section.steps, start=1):
            lines += [f"## Reasoning Step {step}", text]
        if section.conclusion is not None:
            lines += ["## Conclusion", section.conclusion]
        parts.append("\n".join(lines))
    first, second, third = (said[task] if task in tasks else None for task in STANDARD_TASKS)
    answers = f"Answers: \nRequest: {first}\nCompletion: {second}\nResponse: {third}"
    return "\n\n".join([*parts, f"---\n\n{answers}"])


def _has_steps(section: Any) -> bool:
    return section is not None and bool(section.steps)
