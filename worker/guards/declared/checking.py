"""Checks of a description that concern several of its fields."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from worker.domain.patterns import InvalidPattern, Pattern
from worker.domain.questions import STANDARD_TASKS
from worker.guards.declared.description import TASKS, Call, Description, OwnQuestion, Read
from worker.guards.declared.grammar import alternatives, group_pattern
from worker.guards.declared.placeholders import (
    EACH_TEXT,
    placeholders,
    resolved,
    unknown,
    values_of,
)
from worker.guards.declared.tasks import EACH, entries, labels_of, question_about

Fault = tuple[str, str]
_NAME = Pattern(r"[a-z][a-z0-9_]{0,62}")


def faults(description: Description, options: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong: the path of the field, and why.

    Args:
        description: whose fields are valid each by itself.
        options: with the values of `guard.options`.
    """
    yield from _questions(description)
    yield from _option_faults(description, options)
    levels: list[str] | None = None
    names = Counter(call.name for call in description.calls)
    for number, call in enumerate(description.calls):
        path = f"calls.{number}"
        if names[call.name] > 1:
            yield f"{path}.name", f"there are two calls {call.name}"
        yield from _wording(call, path, options)
        yield from _answer(call, path, description, options)
        if call.severity is not None:
            levels = levels or call.severity.levels
            if call.severity.levels != levels:
                yield f"{path}.severity.levels", "all calls need the same levels"
    yield from _coverage(description, options)


def _questions(description: Description) -> Iterator[Fault]:
    kinds = Counter((one.name, one.name == EACH and one.about) for one in description.questions)
    for number, question in enumerate(description.questions):
        path = f"questions.{number}"
        if question.name in (*TASKS, *STANDARD_TASKS):
            yield f"{path}.name", f"{question.name} is a standard task"
        if kinds[question.name, question.name == EACH and question.about] > 1:
            yield f"{path}.name", f"there are two questions {question.name}"
        if len(set(question.labels)) < len(question.labels):
            yield f"{path}.labels", "a label is repeated"
        if question.positive not in question.labels:
            yield f"{path}.positive", f"it is none of the labels {', '.join(question.labels)}"


def _option_faults(description: Description, options: Mapping[str, Any]) -> Iterator[Fault]:
    named = {f"required.{name}": name for name in description.required}
    modes = {"always": description.reasoning.always, "never": description.reasoning.never}
    for mode, switch in modes.items():
        named |= {f"reasoning.{mode}.options.{name}": name for name in switch.options}
    for path, name in named.items():
        if name not in options:
            yield path, f"there is no option {name}"
    yield from _entry_faults(description, options)


def _entry_faults(description: Description, options: Mapping[str, Any]) -> Iterator[Fault]:
    taken = Counter(one.name for one in description.questions)
    for number, call in enumerate(description.calls):
        path, option = f"calls.{number}.for_each", call.for_each
        if option is None:
            continue
        if option not in options:
            yield path, f"there is no option {option}"
            continue
        values = options[option]
        if (why := _not_entries(values)) is not None:
            yield f"options.{option}", why
            continue
        taken.update(list(values) if any(read.task == EACH for read in call.reads) else ())
        for one in values:
            if taken[one] > 1 or one in (*TASKS, *STANDARD_TASKS):
                yield f"options.{option}", f"the name {one} is already in use"


def _not_entries(values: Any) -> str | None:
    """Why the value of an option has no entries that can be asked about; None if it has."""
    if not isinstance(values, list | dict) or not all(
        isinstance(one, str) and _NAME.fullmatch(one) for one in values
    ):
        return "it must be a list of names of a-z, 0-9 and underscores, or such names with texts"
    if isinstance(values, dict) and not all(isinstance(one, str) for one in values.values()):
        return "each of its values must be a text"
    return None


def _wording(call: Call, path: str, options: Mapping[str, Any]) -> Iterator[Fault]:
    forms = [
        name
        for name, given in (
            ("conversation", call.conversation),
            ("messages", call.messages),
            ("text", call.text is not None),
        )
        if given
    ]
    if len(forms) != 1:
        both = f"it has {' and '.join(forms)}" if forms else "it asks nothing"
        yield path, f"{both}: give one of conversation, messages and text"
    if call.text is not None and (call.arguments or call.as_parts):
        yield f"{path}.text", "arguments and as_parts are for a chat template"
    for number, token in enumerate(call.control):
        if not any(token in one for one in (call.text or "", *_afters(call))):
            yield f"{path}.control.{number}", f"neither text nor an after spells {token}"
    each = _each(call, options)
    about = ("prompt",) if call.about == "prompt" else ("prompt", "response")
    texts = {f"messages.{number}.text": one.text for number, one in enumerate(call.messages)}
    if call.text is not None:
        texts["text"] = call.text
    for where, text in texts.items():
        yield from _placeholders(text, f"{path}.{where}", options, (*about, *each))
    for where, value in (
        ("arguments", call.arguments),
        ("prefill", call.prefill),
        ("as_parts", call.as_parts),
    ):
        yield from _placeholders(value, f"{path}.{where}", options, each)
    if not isinstance(resolved(call.as_parts, values_of(options)), bool):
        yield f"{path}.as_parts", "its option must be true or false"
    wanted = "response" if call.about == "response" else "prompt"
    if texts and wanted not in set(placeholders(list(texts.values()))):
        yield path, f"a call about the {call.about} needs {{{wanted}}} in its text"


def _each(call: Call, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The placeholders of the entry that a call asks about."""
    has_texts = isinstance(options.get(call.for_each or ""), dict)
    return ("each", EACH_TEXT)[: (call.for_each is not None) + has_texts]


def _afters(call: Call) -> list[str]:
    return [read.after for read in call.reads if read.after is not None]


def _placeholders(
    value: Any, path: str, options: Mapping[str, Any], allowed: tuple[str, ...]
) -> Iterator[Fault]:
    for name in dict.fromkeys(placeholders(value)):
        if (why := unknown(name, options, allowed)) is not None:
            yield path, why


def _answer(
    call: Call, path: str, description: Description, options: Mapping[str, Any]
) -> Iterator[Fault]:
    try:
        pattern = Pattern(call.answer)
    except InvalidPattern as error:
        yield f"{path}.answer", f"it is no pattern of RE2 ({error})"
        return
    for where, group in _groups(call):
        if group not in pattern.groups:
            yield f"{path}.{where}", f"answer has no group {group}"
    for number, read in enumerate(call.reads):
        where = f"{path}.reads.{number}"
        yield from _task(call, read, where, description.questions)
        yield from _labels(call, read, where, description.questions, options)
        if number and read.after is not None and not read.after.strip(" "):
            yield f"{where}.after", "only the first word can be at the start of the answer"
        if read.group in pattern.groups:
            yield from _words(pattern, read.group, list(read.labels), f"{where}.labels")
    if call.severity is not None and call.severity.group in pattern.groups:
        levels = call.severity.levels
        yield from _words(pattern, call.severity.group, levels, f"{path}.severity.levels")
    if call.categories is not None:
        yield from _categories(call, f"{path}.categories", options)


def _groups(call: Call) -> Iterator[tuple[str, str]]:
    """The groups that fields name."""
    for number, read in enumerate(call.reads):
        yield f"reads.{number}.group", read.group
    if call.categories is not None:
        yield "categories.group", call.categories.group
    if call.severity is not None:
        yield "severity.group", call.severity.group
    if call.reasoning is not None:
        yield "reasoning", call.reasoning


def _task(call: Call, read: Read, path: str, own: list[OwnQuestion]) -> Iterator[Fault]:
    if read.task == EACH and call.for_each is None:
        yield f"{path}.task", "{each} needs for_each"
        return
    if read.task != EACH and call.for_each is not None:
        yield f"{path}.task", "each of several calls would answer it: use {each}"
    about = question_about(read.task, call.about, own)
    if about is None:
        yield (
            f"{path}.task",
            f"there is no question {read.task}; use {', '.join(TASKS)} or your own",
        )
    elif call.about not in (about, "exchange"):
        yield f"{path}.task", f"it is about the {about}, and the call about the {call.about}"


def _labels(
    call: Call, read: Read, path: str, own: list[OwnQuestion], options: Mapping[str, Any]
) -> Iterator[Fault]:
    known = labels_of(read.task, call.about, own)
    for word, label in read.labels.items():
        where = f"{path}.labels.{word}"
        wrong = list(_placeholders(label, where, options, ()))
        yield from wrong
        value = resolved(label, values_of(options))
        if known and not wrong and value not in known:
            yield where, f"{value} is no label of {read.task}; use {', '.join(known)}"


def _words(pattern: Pattern, group: str, words: list[str], path: str) -> Iterator[Fault]:
    """The words of a group, compared with what the group matches by itself."""
    inner = group_pattern(pattern.source, group)
    if inner is None:
        return
    alone = Pattern(inner)
    for word in words:
        if alone.fullmatch(word) is None:
            yield f"{path}.{word}", f"the group {group} of answer does not match it"
    for word in alternatives(inner):
        if word not in words:
            yield path, f"the group {group} of answer matches {word}, which is not here"


def _categories(call: Call, path: str, options: Mapping[str, Any]) -> Iterator[Fault]:
    categories = call.categories
    if categories is None:
        return
    if categories.task not in {read.task for read in call.reads}:
        yield f"{path}.task", f"the call does not read {categories.task}"
    if (option := categories.names_option) is not None:
        if option not in options:
            yield f"{path}.names_option", f"there is no option {option}"
        elif not isinstance(options[option], dict | None):
            yield f"options.{option}", "it must be a mapping from codes to names"


def _coverage(description: Description, options: Mapping[str, Any]) -> Iterator[Fault]:
    calls = [(call, each) for call in description.calls for each in entries(call, options)]
    if not calls or calls[0][0].about == "response":
        yield "calls", "the first call must be about the prompt, which each exchange has"
    readers: dict[tuple[str, str | None], int] = {}
    for number, call in enumerate(description.calls):
        for place, read in enumerate(call.reads):
            of = (read.task, call.for_each)
            if of in readers:
                yield f"calls.{number}.reads.{place}.task", f"{read.task} is read twice"
            readers[of] = number
    for number, question in enumerate(description.questions):
        if not any(
            read.task == question.name and call.about in (question.about, "exchange")
            for call in description.calls
            for read in call.reads
        ):
            yield f"questions.{number}.name", f"no call reads {question.name}"
