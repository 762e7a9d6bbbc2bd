"""The generated files of the chart: values, schema, table, and copies of other generated files."""

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from helm.values import Values
from worker.runtime.settings import Settings, settings_table

Json = dict[str, Any]

ROOT = Path(__file__).parents[1]
CHART = Path(__file__).parent / "guardstream"
MADE = "Made by `make chart`"
_TABLE = re.compile(r"(<!-- make chart -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)
# a chart can only read files in its own folder
_COPIES = {
    "files/prometheus-rules.yaml": ROOT / "monitoring" / "prometheus-rules.yaml",
    "files/grafana-dashboard.json": ROOT / "monitoring" / "grafana-dashboard.json",
}


def documents() -> dict[str, str]:
    """The generated files, by their path in the chart."""
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    return {
        "values.yaml": values_file(),
        "values.schema.json": json.dumps(schema(), indent=2) + "\n",
        "files/default-settings.yaml": default_settings(),
        "files/secret-settings.yaml": secret_settings(),
        "README.md": _TABLE.sub(lambda found: found[1] + table() + found[2], readme),
    } | {name: source.read_text(encoding="utf-8") for name, source in _COPIES.items()}


def with_settings(readme: str) -> str:
    """The project's README with the current table of settings."""
    return _TABLE.sub(lambda found: found[1] + settings_table() + found[2], readme)


def schema() -> Json:
    """The schema of the values. `config` has the schema of the worker's settings."""
    settings = Settings.model_json_schema()
    values = Values.model_json_schema()
    definitions = settings.pop("$defs") | {"Settings": settings}
    if twice := definitions.keys() & values["$defs"].keys():
        raise ValueError(f"The schema defines these names twice: {', '.join(twice)}.")
    values["$defs"] |= definitions
    values["properties"]["config"] = {
        "$ref": "#/$defs/Settings",
        "description": values["properties"]["config"]["description"],
    }
    plain: Json = _plain(values)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **plain}


def default_settings() -> str:
    """The worker's defaults, for templates that need a setting that is not set."""
    defaults = {
        name: field.default.model_dump(mode="json") for name, field in Settings.model_fields.items()
    }
    return _head_of_settings() + yaml.safe_dump(defaults, sort_keys=False)


def secret_settings() -> str:
    """Paths of settings that must not be in a ConfigMap."""
    return _head_of_settings() + yaml.safe_dump({"paths": list(_secrets(Settings, ()))})


def values_file() -> str:
    """`values.yaml`: every value with its default and description."""
    head = f"# {MADE} from helm/values.py. The README has a table of them.\n"
    return head + "".join(_yaml(Values(), 0)).replace("\n\n\n", "\n\n")


def table() -> str:
    """Every value as rows of a Markdown table."""
    rows = ["| value | default | |", "|---|---|---|"]
    rows += [
        f"| `{name}` | {_shown(value)} | {what.replace('|', chr(92) + '|')} |"
        for name, value, what in _rows(Values(), "")
    ]
    return "\n".join(rows)


def _head_of_settings() -> str:
    return f"# {MADE} from worker/runtime/settings.\n"


def _secrets(group: type[BaseModel], path: tuple[str, ...]) -> Iterator[list[str]]:
    for name, field in group.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield from _secrets(type(field.default), (*path, name))
        elif SecretStr in (field.annotation, *get_args(field.annotation)):
            yield [*path, name]


def _plain(node: Any) -> Any:
    """A schema with readable errors: without titles, and with null as one of the types."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {
        key: _plain(value)
        for key, value in node.items()
        if key != "title" or not isinstance(value, str)
    }
    if "description" in node and isinstance(node["description"], str):
        node["description"] = _line(node["description"])
    match node:
        case {"anyOf": [{"type": str(kind)} as given, {"type": "null"}]}:
            del node["anyOf"]
            node = given | node | {"type": [kind, "null"]}
            if "enum" in node:
                node["enum"] = [*node["enum"], None]
    return node


def _yaml(group: BaseModel, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for key, field, value in _fields(group):
        if depth == 0:
            yield "\n"
        if what := _description(field, value):
            comment = textwrap.wrap(what, 98 - len(indent))
            yield "".join(f"{indent}# {line}\n" for line in comment)
        if isinstance(value, BaseModel):
            yield f"{indent}{key}:\n"
            yield from _yaml(value, depth + 1)
        else:
            yield textwrap.indent(_dump({key: _data(value)}), indent)


def _rows(group: BaseModel, prefix: str) -> Iterator[tuple[str, Any, str]]:
    for key, field, value in _fields(group):
        name = f"{prefix}{key}"
        if isinstance(value, BaseModel):
            if what := _description(field, value):
                yield f"{name}.*", None, what
            yield from _rows(value, f"{name}.")
        else:
            yield name, _data(value), _description(field, value)


def _fields(group: BaseModel) -> Iterator[tuple[str, FieldInfo, Any]]:
    for name, field in type(group).model_fields.items():
        yield str(field.alias), field, getattr(group, name)


def _description(field: FieldInfo, value: Any) -> str:
    own = field.description or ""
    of_group = type(value).__doc__ or "" if isinstance(value, BaseModel) else ""
    return _line(own or of_group)


def _line(text: str) -> str:
    return " ".join(text.split())


def _data(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True)
    if isinstance(value, list):
        return [_data(item) for item in value]
    return value


def _dump(data: Json) -> str:
    return yaml.safe_dump(data, sort_keys=False, width=1000, allow_unicode=True)


def _shown(value: Any) -> str:
    return "" if value is None or value == "" else f"`{json.dumps(value)}`"
