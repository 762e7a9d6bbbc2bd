"""Parses GuardReasoner's completions: three labels and the reasoning.

The block of fields that ends the completion is the answer. A field that is missing there, or has no
label, is filled from the section of its task. A label that is not written is never guessed. The
module `flags` lists what else is reported, the module `spans` finds the position of each label in
the completion.
"""

from worker.domain.engines import FinishReason
from worker.domain.judgements import Judgement, Reading, Reasoning, status_of
from worker.domain.questions import STANDARD_QUESTIONS
from worker.guards.guardreasoner.scan import (
    LABELS,
    MAX_TEXT_CHARS,
    NONE,
    TASKS,
    Block,
    Scan,
    scan_lines,
    words_only,
)

_LOOP_REPEATS = 10
_LOOP_HEADERS = 24
_NEGATIONS = frozenset(
    ("not", "non", "never", "neither", "nor", "no", "cannot", "without", "hardly", "rather")
)


def parse(completion: str, *, has_response: bool, finish_reason: FinishReason | None) -> Judgement:
    """Parse a completion; never raises.

    Args:
        completion: the model's text, of any length and content.
        has_response: without one, the two response tasks have no label, whatever was written.
        finish_reason: with `length`, there is no verdict.
    """
    scan = scan_lines(completion)
    tasks = TASKS if has_response else TASKS[:1]
    flags = _shape_flags(scan, completion)
    reasoning = _reasoning(scan, tasks)
    looping = (
        finish_reason == "repetition"
        or len(scan.headers) > _LOOP_HEADERS
        or (bool(scan.lines) and max(scan.lines.values()) >= _LOOP_REPEATS)
    )
    if looping:
        flags.insert(0, "looping")
    if finish_reason == "length":
        flags.insert(0, "truncated")
    if looping or finish_reason in ("length", "repetition"):
        return Judgement("inconclusive", {}, reasoning=reasoning, flags=tuple(flags))
    readings = _readings(scan, tasks, flags)
    if any(reading.label for reading in readings.values()) and not any(r.steps for r in reasoning):
        flags.append("no_steps")
    return Judgement(
        status_of(STANDARD_QUESTIONS, readings, has_response=has_response),
        readings,
        reasoning=reasoning,
        flags=tuple(dict.fromkeys(flags)),
    )


def chosen_answer(scan: Scan) -> Block | None:
    """The block that ends the completion, else one at its start."""
    answers = [block for block in scan.blocks if block.is_answer]
    if answers and answers[-1].terminal:
        return answers[-1]
    if answers and scan.leading and answers[0] in scan.blocks[: scan.leading]:
        return answers[0]
    return None


def _readings(scan: Scan, tasks: tuple[str, ...], flags: list[str]) -> dict[str, Reading]:
    answers = [block for block in scan.blocks if block.is_answer]
    chosen = chosen_answer(scan)
    if chosen is not None and not answers[-1].terminal:
        flags.append("answer_first")
    readings = {}
    for task in tasks:
        value = chosen.fields.get(task) if chosen else None
        others = {block.fields[task] for block in answers if task in block.fields}
        if value is not None and (len(others - {NONE}) > 1 or task in chosen.conflicts):  # type: ignore[union-attr]
            flags.append("conflicting_answers")
            readings[task] = Reading()
        elif (label := _label(task, value)) is not None:
            concluded = concluded_label(scan, task)
            if concluded is not None and concluded != label:
                flags.append("contradicts_conclusion")
            readings[task] = Reading(label, source="answer")
        else:
            if value is not None and value != NONE:
                flags.append("unknown_label")
            stated = _section_label(scan, task)
            if stated is None and value is not None:
                # the answers name the task, but not with one of its labels
                stated = last_stated_label(scan, task)
            if stated is not None:
                flags.append("backfilled")
            readings[task] = Reading(stated, source=None if stated is None else "section")
    return readings


def _label(task: str, value: str | None) -> str | None:
    return value if value in LABELS[task] else None


def _section_label(scan: Scan, task: str) -> str | None:
    """The label in the section of the task: in its field lines, else in its conclusion."""
    found = {_label(task, block.fields[task]) for block in section_blocks(scan, task)}
    if found:
        return found.pop() if len(found) == 1 else None
    return concluded_label(scan, task)


def section_blocks(scan: Scan, task: str) -> list[Block]:
    """The blocks in the section of the task that label it and are not an answer."""
    return [
        block
        for block in scan.blocks
        if block.task is task
        and not block.is_answer
        and _label(task, block.fields.get(task)) is not None
    ]


def concluded_label(scan: Scan, task: str) -> str | None:
    """The label in a conclusion: one of the two words, not after a negation."""
    section = scan.sections.get(task)
    if section is None or section.conclusion is None:
        return None
    found = _stated(" ".join(section.conclusion)[:MAX_TEXT_CHARS], task)
    return found.pop() if len(found) == 1 and None not in found else None


def last_stated_label(scan: Scan, task: str) -> str | None:
    """The label in the last sentence of the section that names one; None if it names both."""
    section = scan.sections.get(task)
    if section is None:
        return None
    parts = [*section.steps, *([section.conclusion] if section.conclusion else [])]
    text = " ".join(line for part in parts for line in part)[-MAX_TEXT_CHARS:]
    for sentence in reversed(text.replace("!", ".").replace("?", ".").split(".")):
        if found := _stated(sentence, task):
            return found.pop() if len(found) == 1 and None not in found else None
    return None


def _stated(text: str, task: str) -> set[str | None]:
    """The labels of a task that a text states; None among them for one after a negation."""
    words = words_only(text.lower()).split()
    found: set[str | None] = set()
    labels = LABELS[task]
    for at, word in enumerate(words):
        label = word.strip("'-")
        if label not in labels:
            continue
        before = words[max(at - 3, 0) : at]
        negated = any(w in _NEGATIONS or w.endswith("n't") for w in before)
        found.add(None if negated else label)
    return found


def _reasoning(scan: Scan, tasks: tuple[str, ...]) -> tuple[Reasoning, ...]:
    found = []
    for task in tasks:
        section = scan.sections.get(task)
        if section is None:
            continue
        steps = tuple(text for step in section.steps if (text := _text(step)))
        conclusion = _text(section.conclusion) if section.conclusion else None
        if steps or conclusion:
            found.append(Reasoning(task, steps, conclusion))
    return tuple(found)


def _text(lines: list[str]) -> str:
    return "\n".join(lines)[:MAX_TEXT_CHARS]


def _shape_flags(scan: Scan, completion: str) -> list[str]:
    flags = []
    if scan.prose_first:
        flags.append("prose_before_reasoning")
    if scan.headers != [1, 2, 3]:
        flags.append("irregular_headers")
    if "ground truth" in completion.lower():
        flags.append("mentions_ground_truth")
    return flags
