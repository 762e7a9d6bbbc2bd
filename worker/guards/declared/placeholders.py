"""Placeholders in the texts of a description: `{prompt}`, `{each}`, `{options.x}` and others.

A text is split once, when the description is loaded. What is put in a place is not read again, so
a placeholder in untrusted text or in an option stays as it is.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.domain.patterns import Pattern

# text in braces that is not one of these is a misspelling; other braces are text, as in JSON
_PLACEHOLDER = Pattern(r"\{([a-z][a-z0-9_.]*)\}")
_OPTION = "options."
EACH_TEXT = "each.text"
_KNOWN = ("prompt", "response", "each", EACH_TEXT)


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of the request or of the response."""

    name: str


Part = str | Slot


def placeholders(value: Any) -> Iterator[str]:
    """The names in all texts of a value."""
    if isinstance(value, str):
        for match in _PLACEHOLDER.finditer(value):
            yield match.groups()[0]
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from placeholders(one)
    elif isinstance(value, list):
        for one in value:
            yield from placeholders(one)


def unknown(name: str, options: Mapping[str, Any], allowed: tuple[str, ...]) -> str | None:
    """Why a placeholder cannot be used; None if it can."""
    if name.startswith(_OPTION):
        option = name.removeprefix(_OPTION)
        return None if option in options else f"there is no option {option}"
    if name in allowed:
        return None
    if name in _KNOWN:
        return f"{{{name}}} cannot be used here"
    return f"there is no {{{name}}}"


def parts(text: str, values: Mapping[str, Any]) -> tuple[Part, ...]:
    """A text in its parts: values of options are in place, request and response are slots."""
    found: list[Part] = []
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        start, after = match.span()
        name = match.groups()[0]
        found.append(text[end:start])
        found.append(_written(values[name]) if name in values else Slot(name))
        end = after
    found.append(text[end:])
    return tuple(part for part in found if part != "")


def _written(value: Any) -> str:
    """An option as text: other types than text as JSON, null as nothing."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def filled(pieces: tuple[Part, ...], texts: Mapping[str, str]) -> str:
    """The text with request and response in place."""
    return "".join(part if isinstance(part, str) else texts[part.name] for part in pieces)


def resolved(value: Any, values: Mapping[str, Any]) -> Any:
    """A value with options in place: one that is a placeholder and no more becomes the option."""
    if isinstance(value, str):
        match = _PLACEHOLDER.fullmatch(value)
        if match is not None and match.groups()[0] in values:
            return values[match.groups()[0]]
        return "".join(
            part if isinstance(part, str) else f"{{{part.name}}}" for part in parts(value, values)
        )
    if isinstance(value, Mapping):
        both = {key: (one, resolved(one, values)) for key, one in value.items()}
        # null is an option that is not set, unless the description itself says null
        return {key: new for key, (old, new) in both.items() if new is not None or old is None}
    if isinstance(value, list):
        return [resolved(one, values) for one in value]
    return value


def values_of(
    options: Mapping[str, Any], each: str | None = None, text: str | None = None
) -> dict[str, Any]:
    """The values of placeholders that are known when a guard is built.

    Args:
        options: with the values of `guard.options`.
        each: an entry of the option of `for_each`.
        text: of the entry, where that option is a mapping.
    """
    values = {f"{_OPTION}{name}": value for name, value in options.items()}
    given = {"each": each, EACH_TEXT: text}
    return values | {name: value for name, value in given.items() if value is not None}
