"""One pass over the lines of a completion: fields, headers, and the text under each.

A field (`Request: harmful`) must start its line, with the complete value on the same line. Runs of
fields form blocks. `parser` decides which of the blocks is the answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from worker.domain.patterns import Pattern
from worker.domain.questions import (
    PROMPT_HARMFULNESS,
    RESPONSE_HARMFULNESS,
    RESPONSE_REFUSAL,
    STANDARD_QUESTIONS,
)

TASKS = tuple(question.name for question in STANDARD_QUESTIONS)
FIELDS = {
    "request": PROMPT_HARMFULNESS.name,
    "completion": RESPONSE_REFUSAL.name,
    "response": RESPONSE_HARMFULNESS.name,
}
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\x00"
MAX_LINE_CHARS = 2_000
_MAX_STEPS = 12
MAX_TEXT_CHARS = 4_000
NONE = "none"

_MAX_TOKEN_NAME_CHARS = 40
_NOT_IN_NAMES = frozenset("|<>")
# every byte that is not part of a word becomes a space
_WORD_BYTES = bytes(one if chr(one) in "abcdefghijklmnopqrstuvwxyz'-" else 32 for one in range(256))
_ONE_LINE = Pattern(
    r"request ?:? ?(?P<request>[a-z-]+)[ ,;.|]+completion ?:? ?(?P<completion>[a-z-]+)"
    r"[ ,;.|]+response ?:? ?(?P<response>[a-z-]+)\.?"
)

LABELS = {question.name: frozenset(question.labels) for question in STANDARD_QUESTIONS}


@dataclass(slots=True)
class Block:
    """A run of field lines."""

    task: str | None  # the section that it is in
    headed: bool
    fields: dict[str, str] = field(default_factory=dict)
    conflicts: set[str] = field(default_factory=set)
    terminal: bool = True

    def add(self, task: str, value: str) -> None:
        """Add a field; the first value of a task is kept."""
        if self.fields.setdefault(task, value) != value:
            self.conflicts.add(task)

    @property
    def is_answer(self) -> bool:
        """Whether it is the answer of the completion, not of one section."""
        return len(self.fields) > 1 or (self.headed and self.terminal and bool(self.fields))


@dataclass(slots=True)
class Section:
    """The text under the header of one task; each part is a list of lines."""

    steps: list[list[str]] = field(default_factory=list)
    conclusion: list[str] | None = None


@dataclass(slots=True)
class Scan:
    """The result of one pass over the lines."""

    blocks: list[Block] = field(default_factory=list)
    sections: dict[str, Section] = field(default_factory=dict)
    headers: list[int] = field(default_factory=list)
    prose_first: bool = False
    lines: dict[str, int] = field(default_factory=dict)
    leading: int = 0  # blocks before the first task header


# the number of a line, and where it was added: to a block (with the task), or to part of a section
Place = tuple[int, Block | list[str], str | None]


def scan_lines(  # noqa: C901, PLR0912, PLR0915 - one pass, one branch a shape
    completion: str, places: list[Place] | None = None
) -> Scan:
    """Scan the lines; `places` collects the lines that were used."""
    scan = Scan()
    if not completion.isascii():
        completion = without(completion, INVISIBLE)
    task: str | None = None
    part: list[str] | None = None
    block: Block | None = None
    for number, full_line in enumerate(completion.splitlines()):
        line = full_line.strip()
        if not line:
            continue
        if len(line) > MAX_LINE_CHARS:
            line = line[:MAX_LINE_CHARS]
        if "<|" in line:
            line = _without_tokens(line).strip()
        if not line.strip("-*_# "):
            continue
        kind, of_task, value = _PROSE
        # the first character excludes most lines that are neither a header nor a field
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
            task = TASKS[of_task - 1] if 1 <= of_task <= len(TASKS) else None
            part = None
            if task is not None and task not in scan.sections:
                scan.sections[task] = Section()
        elif kind == "task conclusion":
            task = TASKS[of_task - 1] if 1 <= of_task <= len(TASKS) else None
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
    """Spans of a line that spell a control token, such as `<|eot_id|>`."""
    start = 0
    for piece in line.split("<|"):
        name, closed, _ = piece.partition("|>")
        # the first piece precedes every `<|`
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
    """The text with a space for each character that is not part of an English word."""
    return text.encode("ascii", "replace").translate(_WORD_BYTES).decode()


def _begin_conclusion(scan: Scan, task: str | None) -> list[str]:
    part: list[str] = []
    if task is not None:
        section = scan.sections.setdefault(task, Section())
        if section.conclusion is None:
            section.conclusion = part
    return part


_STARTS = frozenset("#*>-_`rcaRCA")
_Kind = Literal["fields", "answers", "task", "task conclusion", "step", "conclusion", "prose"]
_Class = tuple[_Kind, int, list[tuple[str, str]] | None]
_PROSE: _Class = ("prose", 0, None)


# the same few headers and fields occur in every completion
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


def _fields(core: str) -> list[tuple[str, str]] | None:
    name, _, rest = core.partition(" " if ":" not in core.split(" ", maxsplit=1)[0] else ":")
    task = FIELDS.get(name.strip(": "))
    if task is None:
        return None
    value = rest.strip(" :.")
    if value in LABELS[task] or value == NONE:
        return [(task, value)]
    if "response" in rest and (match := _ONE_LINE.fullmatch(core)):
        return [(FIELDS[key], word) for key, word in match.groupdict().items()]
    # with any other word, only a colon makes it a field: else it is a sentence
    if ":" in core and value and " " not in value:
        return [(task, value)]
    return None
