"""Positions in a completion of the labels and reasoning that the parser read, for display.

The parser's scan reports the lines that it used. This module finds them in the original text, which
still has the invisible characters, stray tokens and asterisks that the parser removes. A label is
marked only at the position where the parser read it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from worker.domain.engines import Completion, Continuation, EngineRequest, FinishReason
from worker.domain.guard import CompletionSpan, CompletionSpanKind
from worker.domain.judgements import Judgement, LabelSource
from worker.domain.patterns import Pattern
from worker.domain.questions import STANDARD_QUESTIONS
from worker.guards.guardreasoner.answers import FIRST_HEADING
from worker.guards.guardreasoner.parser import (
    chosen_answer,
    concluded_label,
    parse,
    section_blocks,
)
from worker.guards.guardreasoner.scan import (
    FIELDS,
    INVISIBLE,
    MAX_LINE_CHARS,
    MAX_TEXT_CHARS,
    Block,
    Place,
    Scan,
    scan_lines,
    token_spans,
    words_only,
)

_NAMES = {task: name for name, task in FIELDS.items()}
_GROUND_TRUTH = Pattern("ground truth")
# the value of a field after its name, with what the parser skips between them
_VALUES = {
    (question.name, label): Pattern(
        rf"{_NAMES[question.name]}[\t-\r\x1c-\x20\x{{85}}\p{{Z}}:.]*({label})"
    )
    for question in STANDARD_QUESTIONS
    for label in question.labels
}


def spans_of(
    requests: Sequence[EngineRequest], completions: Sequence[Completion], *, has_response: bool
) -> tuple[tuple[CompletionSpan, ...], ...]:
    """The spans of each completion of a judgement.

    Args:
        requests: those that were completed; there may be more.
        completions: of these requests, in order.
        has_response: whether the exchange has a response.
    """
    found: list[tuple[CompletionSpan, ...]] = [() for _ in completions]
    text, starts, reason = "", dict[int, int](), None
    for number, (request, completion) in enumerate(zip(requests, completions, strict=False)):
        if request.scores and not isinstance(request.prompt, Continuation):
            block = find_spans(
                FIRST_HEADING + completion.text, has_response=has_response, finish_reason="stop"
            )
            found[number] = _within(block, len(FIRST_HEADING), len(completion.text))
        elif request.choices:
            found[number] = (CompletionSpan(1, len(completion.text), "label", _task_of(request)),)
        else:
            starts[number], reason = len(text), completion.finish_reason
            text += completion.text + (completion.stopped_by or "")
    read = find_spans(text, has_response=has_response, finish_reason=reason) if starts else ()
    for number, start in starts.items():
        found[number] = _within(read, start, len(completions[number].text))
    return tuple(found)


def _within(spans: Iterable[CompletionSpan], start: int, length: int) -> tuple[CompletionSpan, ...]:
    """The spans in a part of a text, from the start of that part."""
    return tuple(
        span._replace(start=span.start - start, end=span.end - start)
        for span in spans
        if start <= span.start and span.end <= start + length
    )


def _task_of(request: EngineRequest) -> str:
    """The task whose label a forced answer is."""
    assert isinstance(request.prompt, Continuation)  # noqa: S101 - repair continues a completion
    return FIELDS[request.prompt.text.rstrip(":").rpartition("\n")[2].lower()]


def find_spans(
    completion: str, *, has_response: bool, finish_reason: FinishReason | None
) -> tuple[CompletionSpan, ...]:
    """The spans that `parse` read, in their order in the completion."""
    judgement = parse(completion, has_response=has_response, finish_reason=finish_reason)
    places: list[Place] = []
    marker = _Marker(
        judgement, scan_lines(completion, places), places, _lines(completion), completion
    )
    return tuple(sorted({*marker.labels(), *marker.reasoning(), *marker.flags()}))


@dataclass(frozen=True, slots=True)
class _Line:
    """A line as the parser has it, and the position of each of its characters."""

    text: str
    at: list[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        return self.at[start], self.at[end - 1] + 1

    def only(self, found: list[int]) -> "_Line":
        return _Line("".join(self.text[n] for n in found), [self.at[n] for n in found])

    def without(self, spans: Iterable[tuple[int, int]]) -> "_Line":
        gone = {n for span in spans for n in range(*span)}
        return self.only([n for n in range(len(self.text)) if n not in gone]) if gone else self

    def stripped(self) -> "_Line":
        start = len(self.text) - len(self.text.lstrip())
        end = start + len(self.text.strip())
        return _Line(self.text[start:end], self.at[start:end])

    def lowered(self) -> "_Line":
        # lower case can turn one character into two
        both = [
            (small, at) for one, at in zip(self.text, self.at, strict=True) for small in one.lower()
        ]
        return _Line("".join(small for small, _ in both), [at for _, at in both])


def _lines(completion: str) -> list[_Line]:
    """The lines of the completion, truncated and cleaned as in the parser."""
    kept = range(len(completion))
    complete = _Line(completion, list(kept))
    if not completion.isascii():
        complete = complete.only([n for n in kept if completion[n] not in INVISIBLE])
    lines, start = [], 0
    for text in complete.text.splitlines(keepends=True):
        line = _Line(text, complete.at[start : start + len(text)]).stripped()
        cut = _Line(line.text[:MAX_LINE_CHARS], line.at[:MAX_LINE_CHARS])
        lines.append(cut.without(token_spans(cut.text)).stripped())
        start += len(text)
    return lines


@dataclass(frozen=True)
class _Marker:
    judgement: Judgement
    scan: Scan
    places: list[Place]
    lines: list[_Line]
    completion: str

    def labels(self) -> Iterator[CompletionSpan]:
        for question in STANDARD_QUESTIONS:
            task, reading = question.name, self.judgement.reading(question.name)
            if reading.label is None or reading.source is None:
                continue
            for start, end in self._taken(task, reading.label, reading.source):
                yield CompletionSpan(start, end, "label", task)

    def reasoning(self) -> Iterator[CompletionSpan]:
        for read in self.judgement.reasoning:
            section = self.scan.sections[read.task]
            for step in section.steps:
                yield from self._part(step, "step", read.task)
            if section.conclusion is not None:
                yield from self._part(section.conclusion, "conclusion", read.task)

    def flags(self) -> Iterator[CompletionSpan]:
        """The flags that have a position; others are about the completion as such."""
        if "mentions_ground_truth" in self.judgement.flags:
            text = _Line(self.completion, list(range(len(self.completion)))).lowered()
            for match in _GROUND_TRUTH.finditer(text.text):
                yield CompletionSpan(*text.span(*match.span()), "flag", "mentions_ground_truth")
        for question in STANDARD_QUESTIONS:
            task, reading = question.name, self.judgement.reading(question.name)
            stated = concluded_label(self.scan, task)
            if reading.source == "answer" and stated is not None and stated != reading.label:
                for start, end in self._concluded(task, stated):
                    yield CompletionSpan(start, end, "flag", "contradicts_conclusion")

    def _taken(self, task: str, label: str, source: LabelSource) -> Iterator[tuple[int, int]]:
        if source == "answer":
            answer = chosen_answer(self.scan)
            blocks = [answer] if answer is not None else []
        else:
            blocks = section_blocks(self.scan, task)
            if not blocks:
                yield from self._concluded(task, label)
        for block in blocks:
            yield from self._field(block, task, label)

    def _field(self, block: Block, task: str, label: str) -> Iterator[tuple[int, int]]:
        """The value of a field, in the first line that has it, as in the block."""
        number = self._first_lines.get((id(block), task))
        if number is None:
            return
        line = self.lines[number]
        line = line.only([n for n, one in enumerate(line.text) if one != "*"]).lowered()
        if match := _VALUES[task, label].search(line.text):
            yield line.span(*match.span(1))

    def _concluded(self, task: str, label: str) -> Iterator[tuple[int, int]]:
        """All occurrences of the label in the conclusion, which has no other label."""
        section = self.scan.sections.get(task)
        if section is None or section.conclusion is None:
            return
        for line in self._read(section.conclusion):
            small = line.lowered()
            words = words_only(small.text)
            start = 0
            for word in words.split():
                start = words.index(word, start)
                if word.strip("'-") == label:
                    at = start + word.index(label)
                    yield small.span(at, at + len(label))
                start += len(word)

    def _part(
        self, part: list[str], kind: CompletionSpanKind, task: str
    ) -> Iterator[CompletionSpan]:
        for line in self._read(part):
            yield CompletionSpan(*line.span(0, len(line.text)), kind, task)

    def _read(self, part: list[str]) -> Iterator[_Line]:
        """The lines of a part, up to the length that is read."""
        left = MAX_TEXT_CHARS
        for number in self._part_lines.get(id(part), ()):
            if left <= 0:
                return
            line = self.lines[number]
            yield _Line(line.text[:left], line.at[:left])
            left -= len(line.text) + 1

    @cached_property
    def _first_lines(self) -> dict[tuple[int, str], int]:
        """The first line of each field, by its block and its task."""
        found: dict[tuple[int, str], int] = {}
        for number, held, task in self.places:
            if task is not None:
                found.setdefault((id(held), task), number)
        return found

    @cached_property
    def _part_lines(self) -> dict[int, list[int]]:
        """The lines of each part of a section."""
        found: defaultdict[int, list[int]] = defaultdict(list)
        for number, held, task in self.places:
            if task is None:
                found[id(held)].append(number)
        return found
