"""A description made ready: the requests of each exchange, and how their answers are read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.domain.calibration import ReasoningMode
from worker.domain.engines import LabelPlace
from worker.domain.patterns import Pattern
from worker.domain.prompts import split_at_controls
from worker.domain.questions import Question
from worker.guards.declared.description import Call, Description, Switch
from worker.guards.declared.placeholders import resolved, values_of
from worker.guards.declared.tasks import entries, question_of, text_of
from worker.guards.declared.wording import Wording, wording_of


@dataclass(frozen=True, slots=True)
class PlannedRead:
    """A label that is read from an answer.

    Attributes:
        group: of the pattern.
        labels: the label of each word.
        before: the text before the word, as a forced answer has it, with its control tokens; None
            where none can be forced.
        lead: the blank between that text and the word, which belongs to the word's token.
        place: where the words' probabilities are read; None for no score.
    """

    question: Question
    group: str
    labels: Mapping[str, str]
    before: str | None
    lead: str
    place: LabelPlace | None

    @property
    def choices(self) -> tuple[str, ...]:
        """The words as they are written after `before`."""
        return tuple(self.lead + word for word in self.labels)


@dataclass(frozen=True, slots=True)
class PlannedCategories:
    """The list of categories in an answer."""

    question: Question
    group: str
    separator: str
    none: frozenset[str]
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One request.

    Attributes:
        source: the call of the description.
        prefill: what the answer begins with, in addition to the completion.
        reads: in the order in which the words are written.
    """

    source: Call
    wording: Wording
    prefill: str
    pattern: Pattern
    max_tokens: int
    reads: tuple[PlannedRead, ...]
    categories: PlannedCategories | None

    @property
    def places(self) -> tuple[LabelPlace, ...]:
        """Where probabilities are read."""
        return tuple(read.place for read in self.reads if read.place is not None)

    def applies(self, *, has_response: bool) -> bool:
        """Whether an exchange is asked about."""
        return has_response or self.source.about != "response"


def plan(
    description: Description, options: Mapping[str, Any], mode: ReasoningMode
) -> tuple[PlannedCall, ...]:
    """The requests of a checked description, in order.

    Args:
        description: of the guard.
        options: with the values of `guard.options`.
        mode: whether the guard reasons, if it has a switch.
    """
    switch = description.reasoning.never if mode == "never" else description.reasoning.always
    return tuple(
        _planned(
            call,
            description,
            values_of(options, each, text_of(call, each, options)),
            options,
            switch,
        )
        for call in description.calls
        for each in entries(call, options)
    )


def _planned(
    call: Call,
    description: Description,
    values: Mapping[str, Any],
    options: Mapping[str, Any],
    switch: Switch,
) -> PlannedCall:
    own = description.questions
    arguments = call.arguments if call.text is not None else {**call.arguments, **switch.arguments}
    prefill = str(resolved(call.prefill, values))
    max_tokens = switch.max_tokens or call.max_tokens
    questions = {read.task: question_of(read.task, call.about, own, values) for read in call.reads}
    pattern = Pattern(call.answer)
    reads = tuple(_reads(call, questions, values, prefill, pattern))
    categories = None
    if (given := call.categories) is not None:
        more = options.get(given.names_option) if given.names_option else None
        categories = PlannedCategories(
            questions[given.task],
            given.group,
            given.separator,
            frozenset(given.none),
            {**given.names, **(more or {})},
        )
    return PlannedCall(
        call,
        wording_of(call, values, arguments),
        prefill,
        pattern,
        max_tokens,
        reads,
        categories,
    )


def _reads(
    call: Call,
    questions: Mapping[str, Question],
    values: Mapping[str, Any],
    prefill: str,
    pattern: Pattern,
) -> Iterator[PlannedRead]:
    for number, read in enumerate(call.reads):
        labels = {word: str(resolved(label, values)) for word, label in read.labels.items()}
        question = questions[read.task]
        if read.after is None:
            yield PlannedRead(question, read.group, labels, None, "", None)
            continue
        before = read.after.rstrip(" ")
        lead = read.after[len(before) :]
        # what is given of the answer is no part of the completion
        if number == 0 and prefill and prefill.endswith(read.after):
            before, lead = "", ""
        elif number == 0 and prefill and prefill.endswith(before):
            before = ""
        # control tokens are no part of a completion's text
        shown = "".join(
            run for run in split_at_controls(before, call.control) if isinstance(run, str)
        )
        groups = pattern.groups
        follows_reasoning = groups.get(call.reasoning or "", len(groups)) < groups[read.group]
        place = LabelPlace(tuple(lead + word for word in labels), shown, last=follows_reasoning)
        yield PlannedRead(
            question, read.group, labels, before, lead, place if len(labels) > 1 else None
        )


def questions_of(calls: Sequence[PlannedCall]) -> Iterator[Question]:
    """The questions that the calls answer, in order."""
    for call in calls:
        for read in call.reads:
            yield read.question
