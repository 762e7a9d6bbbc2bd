"""A settings file to start with."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from worker.runtime.settings.model import Settings

# what most deployments change first
_FIRST = {
    "kafka.bootstrap_servers",
    "input.topics",
    "input.group_id",
    "input.mapping",
    "output.verdict_topic",
    "output.dead_letter_topic",
    "delivery.guarantee",
    "engine.model",
    "guard.name",
}
_UNITS = ("seconds", "bytes", "tokens", "characters", "records")
_WIDTH = 98
_HEAD = """\
# Settings of Guardstream. `guardstream config lint FILE` checks this file.
#
# A line that begins with `#` and the name of a setting shows its default: remove the `#` to change
# it. Lines that begin with `# ` are comments. Variables win over this file:
# GUARDSTREAM_INPUT__TOPICS sets `topics` of `input`.
"""


def starter_file() -> str:
    """Every setting with its description; most are commented out."""
    definitions = Settings.model_json_schema()["$defs"]
    lines = [_HEAD]
    for name, field in Settings.model_fields.items():
        lines.append("\n")
        lines += _group(name, field.default, definitions)
    return "".join(lines)


def _group(name: str, group: BaseModel, definitions: dict[str, Any]) -> Iterator[str]:
    *above, key = name.split(".")
    indent = "  " * len(above)
    yield from _comment(type(group).__doc__ or "", indent)
    yield f"{indent}{key}:\n"
    properties = definitions[type(group).__name__]["properties"]
    for key in type(group).model_fields:
        value = getattr(group, key)
        if isinstance(value, BaseModel):
            yield from _group(f"{name}.{key}", value, definitions)
            continue
        yield from _comment(_about(key, properties[key]), f"{indent}  ")
        mark = "" if f"{name}.{key}" in _FIRST else "#"
        shown = "" if value is None else f" {json.dumps(value)}"
        yield f"{indent}  {mark}{key}:{shown}\n"


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in textwrap.wrap(text, _WIDTH - len(indent)):
        yield f"{indent}# {line}\n"


def _about(key: str, described: dict[str, Any]) -> str:
    """The description, then the unit and the values that are possible."""
    kind = described.get("anyOf", [described])[0]
    parts = [unit for unit in _UNITS if unit in key.split("_")][:1]
    if "enum" in kind:
        parts.append(f"one of {', '.join(kind['enum'])}")
    elif kind.get("type") == "boolean":
        parts.append("true or false")
    elif kind.get("minimum") == 0 and "maximum" in kind:
        parts.append(f"0 to {kind['maximum']}")
    else:
        limits = {"exclusiveMinimum": "more than", "minimum": "at least", "maximum": "at most"}
        parts += [f"{words} {kind[limit]}" for limit, words in limits.items() if limit in kind]
    facts = ", ".join(parts)
    facts = f"{facts[:1].upper()}{facts[1:]}." if facts else ""
    return " ".join(text for text in (described.get("description", ""), facts) if text)
