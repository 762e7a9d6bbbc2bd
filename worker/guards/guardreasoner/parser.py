"""Reading GuardReasoner's completions: three labels, and the reasoning behind them.

A completion is read line by line, once. Fields (`Request: harmful`) count only at a line's start
with the whole value on the line. Runs of fields form blocks; the block that ends the completion is
the answer. A field that it lacks, or that holds no label, is back-filled from its own task's
section. A label that is not written is never guessed. `FLAGS` says what is noted beside the labels.
`guardreasoner_marks` tells where in the completion it was read.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from worker.domain.patterns import Pattern
from worker.domain.verdicts import (
    LABELS,
    FinishReason,
    Judgement,
    Label,
    Reading,
    Reasoning,
    Task,
)

FLAGS = {
    "truncated": "the completion hit the token limit, so it has no verdict",
    "looping": "the completion repeats itself, so its verdict is not believed",
    "conflicting_answers": "two answer blocks disagree, so the task has no label",
    "answer_first": "the verdict comes before the reasoning",
    "backfilled": "a label was read from its task's section, not from the answers",
    "contradicts_conclusion": "a task's conclusion says the opposite of the answer",
    "no_steps": "a verdict without reasoning steps",
    "unknown_label": "the answer to a task is another word than its labels",
    "irregular_headers": "the task headers are not exactly 1, 2 and 3",
    "prose_before_reasoning": "there is text before the first header",
    "mentions_ground_truth": "the model speaks of a ground truth it cannot know",
}

_TASKS = tuple(Task)
FIELDS = {
    "request": Task.PROMPT_HARMFULNESS,
    "completion": Task.RESPONSE_REFUSAL,
    "response": Task.RESPONSE_HARMFULNESS,
}
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\x00"
MAX_LINE_CHARS = 2_000
_MAX_STEPS = 12
MAX_TEXT_CHARS = 4_000
_LOOP_REPEATS = 10
_LOOP_HEADERS = 24
_NONE = "none"

_MAX_TOKEN_NAME_CHARS = 40
_NOT_IN_NAMES = frozenset("|<>")
# every byte that is not of a word becomes a blank
_WORD_BYTES = bytes(one if chr(one) in "abcdefghijklmnopqrstuvwxyz'-" else 32 for one in range(256))
_ONE_LINE = Pattern(
    r"request ?:? ?(?P<request>[a-z-]+)[ ,;.|]+completion ?:? ?(?P<completion>[a-z-]+)"
    r"[ ,;.|]+response ?:? ?(?P<response>[a-z-]+)\.?"
)
_NEGATIONS = frozenset(
    ("not", "non", "never", "neither", "nor", "no", "cannot", "without", "hardly", "rather")
)

_BY_WORD: dict[Task, dict[str, Label]] = {
    task: {label: label for label in labels} for task, labels in LABELS.items()
}

_Value = str  # a label, `none`, or another word


@dataclass(slots=True)
class Block:
    """A run of field lines."""

    task: Task | None  # the section it stands in
    headed: bool
    fields: dict[Task, _Value] = field(default_factory=dict)
    conflicts: set[Task] = field(default_factory=set)
    terminal: bool = True

    def add(self, task: Task, value: _Value) -> None:
        """Take a field; the first value of a task stays."""
        if self.fields.setdefault(task, value) != value:
            self.conflicts.add(task)

    @property
    def is_answer(self) -> bool:
        """Whether it says what the whole completion answers, rather than one section."""
        return len(self.fields) > 1 or (self.headed and self.terminal and bool(self.fields))


@dataclass(slots=True)
class Section:
    """What stands under one task's header; each part is a list of lines."""

    steps: list[list[str]] = field(default_factory=list)
    conclusion: list[str] | None = None


@dataclass(slots=True)
class Scan:
    """Everything one pass over the lines finds."""

    blocks: list[Block] = field(default_factory=list)
    sections: dict[Task, Section] = field(default_factory=dict)
    headers: list[int] = field(default_factory=list)
    prose_first: bool = False
    lines: dict[str, int] = field(default_factory=dict)
    leading: int = 0  # blocks before the first task header


# a line's number, and what it was added to: a block, as its value for a task, or a section's part
Place = tuple[int, Block | list[str], Task | None]


def parse(completion: str, *, has_response: bool, finish_reason: FinishReason | None) -> Judgement:
    """What the completion says.

    Args:
        completion: the model's text, of any length and kind; never raises.
        has_response: without one, the two response tasks have no label, whatever was written.
        finish_reason: `length` means that there is no verdict.
    """
    scan = scan_lines(completion)
    tasks = _TASKS if has_response else _TASKS[:1]
    flags = _shape_flags(scan, completion)
    reasoning = _reasoning(scan, tasks)
    looping = len(scan.headers) > _LOOP_HEADERS or (
        bool(scan.lines) and max(scan.lines.values()) >= _LOOP_REPEATS
    )
    if looping:
        flags.insert(0, "looping")
    if finish_reason == "length":
        flags.insert(0, "truncated")
    if looping or finish_reason == "length":
        return Judgement("inconclusive", reasoning=reasoning, flags=tuple(flags))
    readings = _readings(scan, tasks, flags)
    if any(reading.label for reading in readings.values()) and not any(r.steps for r in reasoning):
        flags.append("no_steps")
    nothing = Reading()
    return Judgement(
        "complete" if all(readings[task].label for task in tasks) else "inconclusive",
        prompt_harmfulness=readings[Task.PROMPT_HARMFULNESS],
        response_refusal=readings.get(Task.RESPONSE_REFUSAL, nothing),
        response_harmfulness=readings.get(Task.RESPONSE_HARMFULNESS, nothing),
        reasoning=reasoning,
        flags=tuple(dict.fromkeys(flags)),
    )


def scan_lines(  # noqa: C901, PLR0912, PLR0915 - one pass, one branch a shape
    completion: str, places: list[Place] | None = None
) -> Scan:
    """Everything the lines say; `places` is told which of them said it."""
    scan = Scan()
    if not completion.isascii():
        completion = without(completion, INVISIBLE)
    task: Task | None = None
    part: list[str] | None = None
    block: Block | None = None
    for number, whole in enumerate(completion.splitlines()):
        line = whole.strip()
        if not line:
            continue
        if len(line) > MAX_LINE_CHARS:
            line = line[:MAX_LINE_CHARS]
        if "<|" in line:
            line = _without_tokens(line).strip()
        if not line.strip("-*_# "):
            continue
        kind, of_task, value = _PROSE
        # what is neither a header nor a field is told by its first character, nearly always
        if line[0] in _STARTS and len(line) < 200:
            kind, of_task, value = _classify(line)
        if kind == "fields":
            if block is None:
                block = Block(task, headed=False)
                scan.blocks.append(block)
            for name, word in value or ():
                block.add(name, word)
                if places is not None:
                    places.append((number, block, name))
            continue
        if kind == "answers":
            block = Block(task, headed=True)
            scan.blocks.append(block)
            continue
        if block is not None:
            block.terminal = False
            block = None
        if scan.blocks:
            scan.blocks[-1].terminal = False
        if kind == "task":
            if not scan.headers:
                scan.leading = len(scan.blocks)
            scan.headers.append(of_task)
            task = _TASKS[of_task - 1] if 1 <= of_task <= len(_TASKS) else None
            part = None
            if task is not None and task not in scan.sections:
                scan.sections[task] = Section()
        elif kind == "task conclusion":
            task = _TASKS[of_task - 1] if 1 <= of_task <= len(_TASKS) else None
            part = _begin_conclusion(scan, task)
        elif kind == "step":
            part = []
            if task is not None:
                section = scan.sections.setdefault(task, Section())
                if len(section.steps) < _MAX_STEPS and section.conclusion is None:
                    section.steps.append(part)
        elif kind == "conclusion":
            part = _begin_conclusion(scan, task)
        else:
            if len(line) > 20:
                scan.lines[line] = scan.lines.get(line, 0) + 1
            if part is not None:
                part.append(line)
                if places is not None:
                    places.append((number, part, None))
            elif not scan.headers and not scan.blocks:
                scan.prose_first = True
    if not scan.headers:
        scan.leading = len(scan.blocks)
    return scan


def without(text: str, characters: str) -> str:
    """The text without these characters."""
    for one in characters:
        text = text.replace(one, "")
    return text


def token_spans(line: str) -> Iterator[tuple[int, int]]:
    """Where a line spells a control token, such as `<|eot_id|>`."""
    start = 0
    for piece in line.split("<|"):
        name, closed, _ = piece.partition("|>")
        # the first piece stands before every `<|`
        is_name = 0 < len(name) <= _MAX_TOKEN_NAME_CHARS and _NOT_IN_NAMES.isdisjoint(name)
        if start and closed and is_name:
            yield start - 2, start + len(name) + 2
        start += len(piece) + 2


def _without_tokens(line: str) -> str:
    kept, start = [], 0
    for token_start, end in token_spans(line):
        kept.append(line[start:token_start])
        start = end
    return "".join([*kept, line[start:]])


def words_only(text: str) -> str:
    """The text with a blank in place of each character that is not of an English word."""
    return text.encode("ascii", "replace").translate(_WORD_BYTES).decode()


def _begin_conclusion(scan: Scan, task: Task | None) -> list[str]:
    part: list[str] = []
    if task is not None:
        section = scan.sections.setdefault(task, Section())
        if section.conclusion is None:
            section.conclusion = part
    return part


_STARTS = frozenset("#*>-_`rcaRCA")
_Kind = Literal["fields", "answers", "task", "task conclusion", "step", "conclusion", "prose"]
_Class = tuple[_Kind, int, list[tuple[Task, str]] | None]
_PROSE: _Class = ("prose", 0, None)


# the same few headers and fields stand in every completion
@lru_cache(maxsize=512)
def _classify(line: str) -> _Class:  # noqa: C901, PLR0911
    core = line.lstrip("#*>- \t").rstrip("*: \t").lower()
    first = core[:1]
    if first == "a" and core in ("answers", "answer", "final answers", "final answer"):
        return "answers", 0, None
    if core.startswith("answers"):
        core = core.removeprefix("answers").lstrip(": ")  # all of it on one line
    if core.startswith(("request", "completion", "response")):
        found = _fields(" ".join(core.replace("*", "").split()))
        if found:
            return "fields", 0, found
    if line[0] != "#":
        return _PROSE
    if first == "t" and core.startswith("task"):
        words = core.replace(":", " ").split()
        if len(words) > 1 and words[1].isdecimal() and len(words[1]) < 5:
            rest = words[2:]
            if rest and rest[-1] == "conclusion":
                return "task conclusion", int(words[1]), None
            return "task", int(words[1]), None
    if core.startswith(("reasoning step", "step ")):
        return "step", 0, None
    if core.startswith("conclusion"):
        return "conclusion", 0, None
    return _PROSE


def _fields(core: str) -> list[tuple[Task, str]] | None:
    name, _, rest = core.partition(" " if ":" not in core.split(" ", maxsplit=1)[0] else ":")
    task = FIELDS.get(name.strip(": "))
    if task is None:
        return None
    value = rest.strip(" :.")
    if value in LABELS[task] or value == _NONE:
        return [(task, value)]
    if "response" in rest and (match := _ONE_LINE.fullmatch(core)):
        return [(FIELDS[key], word) for key, word in match.groupdict().items()]
    # another word is a field only with its colon, else it is a sentence
    if ":" in core and value and " " not in value:
        return [(task, value)]
    return None


def chosen_answer(scan: Scan) -> Block | None:
    """The block that ends the completion, else one that it began with."""
    answers = [block for block in scan.blocks if block.is_answer]
    if answers and answers[-1].terminal:
        return answers[-1]
    if answers and scan.leading and answers[0] in scan.blocks[: scan.leading]:
        return answers[0]
    return None


def _readings(scan: Scan, tasks: tuple[Task, ...], flags: list[str]) -> dict[Task, Reading]:
    answers = [block for block in scan.blocks if block.is_answer]
    chosen = chosen_answer(scan)
    if chosen is not None and not answers[-1].terminal:
        flags.append("answer_first")
    readings = {}
    for task in tasks:
        value = chosen.fields.get(task) if chosen else None
        others = {block.fields[task] for block in answers if task in block.fields}
        if value is not None and (len(others - {_NONE}) > 1 or task in chosen.conflicts):  # type: ignore[union-attr]
            flags.append("conflicting_answers")
            readings[task] = Reading()
        elif (label := _label(task, value)) is not None:
            concluded = concluded_label(scan, task)
            if concluded is not None and concluded != label:
                flags.append("contradicts_conclusion")
            readings[task] = Reading(label, "answer")
        else:
            if value is not None and value != _NONE:
                flags.append("unknown_label")
            said = _section_label(scan, task)
            if said is not None:
                flags.append("backfilled")
            readings[task] = Reading(said, None if said is None else "section")
    return readings


def _label(task: Task, value: str | None) -> Label | None:
    return None if value is None else _BY_WORD[task].get(value)


def _section_label(scan: Scan, task: Task) -> Label | None:
    """The label in the task's own section: its field lines, else its conclusion."""
    found = {_label(task, block.fields[task]) for block in section_blocks(scan, task)}
    if found:
        return found.pop() if len(found) == 1 else None
    return concluded_label(scan, task)


def section_blocks(scan: Scan, task: Task) -> list[Block]:
    """The blocks in the task's section that label it and are no answer."""
    return [
        block
        for block in scan.blocks
        if block.task is task
        and not block.is_answer
        and _label(task, block.fields.get(task)) is not None
    ]


def concluded_label(scan: Scan, task: Task) -> Label | None:
    """The label a conclusion states: one of the two words, never after a negation."""
    section = scan.sections.get(task)
    if section is None or section.conclusion is None:
        return None
    words = words_only(" ".join(section.conclusion)[:MAX_TEXT_CHARS].lower()).split()
    found: set[Label] = set()
    labels = _BY_WORD[task]
    for at, word in enumerate(words):
        label = labels.get(word.strip("'-"))
        if label is None:
            continue
        before = words[max(at - 3, 0) : at]
        if any(w in _NEGATIONS or w.endswith("n't") for w in before):
            return None
        found.add(label)
    return found.pop() if len(found) == 1 else None


def _reasoning(scan: Scan, tasks: tuple[Task, ...]) -> tuple[Reasoning, ...]:
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
