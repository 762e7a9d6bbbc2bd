"""What was set, and where: in the file, by a variable, by an option of a command."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel
from pydantic_settings import EnvSettingsSource

from worker.runtime.settings.faults import Fault
from worker.runtime.settings.model import PREFIX, Settings, variable_of
from worker.runtime.settings.spelling import meant_variable

Source = Literal["default", "file", "environment", "option"]
SettingPath = tuple[str, ...]

# variables of this prefix that are not settings of the worker
_NOT_SETTINGS = ("TEST_", "CACHE_DIR", "CONFIG")
# groups are nested less deeply; an alias of YAML can contain itself
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was set."""

    source: Source
    text: str


@dataclass(slots=True)
class Given:
    """All that was set.

    Attributes:
        values: merged; a variable wins over the file, an option over both.
        places: of each setting, the places where it was set; the last one wins.
        lines: of each key of the file, its lines.
        faults: of what cannot be read at all.
    """

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[SettingPath, list[Place]] = field(default_factory=dict)
    lines: dict[SettingPath, list[int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def add(self, values: dict[str, Any], source: Source, where: str) -> None:
        """Set values; a key of the file gets its line as its place."""
        self.values = _merged(self.values, values)
        for path in _set_paths(values, Settings):
            lines = self.lines.get(path) if source == "file" else None
            text = f"{where}:{lines[-1]}" if lines else where
            self.places.setdefault(path, []).append(Place(source, text))


def read_given(config: Path | None, options: dict[str, Any] | None = None) -> Given:
    """What the file, the environment and the options of a command set."""
    given = Given()
    if config is not None:
        _read_file(config, given)
    _read_environment(given)
    given.add(options or {}, "option", "an option of the command")
    return given


def _read_file(config: Path, given: Given) -> None:
    if not config.is_file():
        given.faults.append(Fault.of_file(config, "is not there"))
        return
    try:
        text = config.read_text("utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{config}:{mark.line + 1}" if mark else str(config)
        given.faults.append(Fault.of_file(config, f"is not YAML ({error.problem})", where))
        return
    except (OSError, ValueError, yaml.YAMLError) as error:
        given.faults.append(Fault.of_file(config, f"cannot be read ({type(error).__name__})"))
        return
    if values is None:
        return
    if not isinstance(values, dict):
        given.faults.append(Fault.of_file(config, "is not a YAML mapping"))
        return
    for path, line in _lines(node, ()):
        given.lines.setdefault(path, []).append(line)
    given.add(_without_empty_groups(values, Settings), "file", str(config))


def _read_environment(given: Given) -> None:
    source = EnvSettingsSource(Settings)
    groups = [name.upper() for name in Settings.model_fields]
    # a group as JSON before single settings of it, which win
    for variable in sorted(os.environ, key=lambda name: (name.count("__"), name)):
        name = variable.upper().removeprefix(PREFIX)
        if name == variable.upper() or name.startswith(_NOT_SETTINGS):
            continue
        path = tuple(name.lower().split("__"))
        if path[0].upper() not in groups:
            hint = meant_variable(variable)
            if hint is None:
                hint = f"the groups are {', '.join(groups).lower()}, as in {PREFIX}INPUT__GROUP_ID"
            given.faults.append(Fault.unknown(variable, variable, hint))
            continue
        source.env_vars = {variable.lower(): os.environ[variable]}
        try:
            given.add(source(), "environment", variable)
        except ValueError:
            what = 'it is not JSON; write lists and mappings as JSON, such as ["chat-events"]'
            given.faults.append(Fault(".".join(path), variable, what))


def group_at(path: Iterable[str], group: type[BaseModel] = Settings) -> type[BaseModel] | None:
    """The group at a path; None if a setting or nothing is there."""
    for key in path:
        found = group.model_fields.get(key)
        if found is None or not isinstance(found.default, BaseModel):
            return None
        group = type(found.default)
    return group


def set_in_group(given: Given, path: SettingPath) -> list[str]:
    """The places of a group of which something was set: its line of the file, its variables."""
    places = [
        place
        for key, of_key in given.places.items()
        if key[: len(path)] == path
        for place in of_key
    ]
    names = [place.text for place in places if place.source != "file"]
    if lines := given.lines.get(path):
        file = next((place.text for place in places if place.source == "file"), "")
        names.insert(0, f"{file.rpartition(':')[0]}:{lines[-1]}")
    return [name for name in names if name] or [variable_of(path)]


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = _merged(below, value) if both else value  # type: ignore[arg-type]
    return merged


def _set_paths(values: dict[str, Any], group: type[BaseModel]) -> Iterator[SettingPath]:
    for key, value in values.items():
        below = group_at((key,), group)
        if below is not None and isinstance(value, dict):
            yield from ((key, *path) for path in _set_paths(value, below))
        else:
            yield (key,)


def _without_empty_groups(values: dict[Any, Any], group: type[BaseModel]) -> dict[str, Any]:
    """Without groups that have no key, as in a file whose settings are commented out."""
    kept: dict[str, Any] = {}
    for key, value in values.items():
        below = group_at((str(key),), group)
        if below is None:
            kept[str(key)] = value
        elif isinstance(value, dict):
            kept[str(key)] = _without_empty_groups(value, below)
        elif value is not None:
            kept[str(key)] = value
    return kept


def _lines(node: yaml.Node | None, path: SettingPath) -> Iterator[tuple[SettingPath, int]]:
    if not isinstance(node, yaml.MappingNode) or len(path) == _MAX_DEPTH:
        return
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            yield (*path, key.value), key.start_mark.line + 1
            yield from _lines(value, (*path, key.value))
