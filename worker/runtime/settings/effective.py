"""The settings in effect, each with its source; secrets are masked."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from worker.runtime.settings.given import Place, Source, read_given
from worker.runtime.settings.loading import usable
from worker.runtime.settings.model import Setting, settings_list

MASK = "***"
_SECRET_WORDS = {"token", "password", "secret", "key"}


@dataclass(frozen=True, slots=True)
class Effective:
    """A setting in effect.

    Attributes:
        setting: the name.
        value: what applies; a secret is `***`.
        source: where it is from.
        where: the file and line, or the variable, or several of them; empty for a default.
        changed: whether it differs from the default.
        masked: whether the value is hidden, all of it or a part.
    """

    setting: str
    value: Any
    source: Source
    where: str
    changed: bool
    masked: bool


def effective_settings(config: Path | None) -> list[Effective]:
    """Every setting, in the order of the groups.

    Raises:
        WrongSetting: the settings have a fault.
    """
    given = read_given(config)
    settings = usable(given, config)
    found = []
    for setting in settings_list():
        value: Any = settings
        for key in setting.path:
            value = getattr(value, key)
        places = given.places.get(setting.path, [Place("default", "")])
        # only mappings are merged from several places
        shown = places if isinstance(value, dict) else places[-1:]
        data = _masked(setting, value)
        found.append(
            Effective(
                setting.name,
                data,
                places[-1].source,
                ", ".join(place.text for place in shown),
                value != setting.default,
                data != _plain(value),
            )
        )
    return found


def as_file(found: Iterable[Effective]) -> Iterator[tuple[str, str]]:
    """The settings as lines of a settings file, each with a comment: its source.

    A masked value is commented out, so that the file does not set it.
    """
    above: list[str] = []
    for one in found:
        *groups, key = one.setting.split(".")
        for depth, group in enumerate(groups):
            if above[: depth + 1] != groups[: depth + 1]:
                yield f"{'  ' * depth}{group}:", ""
        above = groups
        mark = "#" if one.masked else ""
        value = json.dumps(one.value, ensure_ascii=False)
        yield f"{'  ' * len(groups)}{mark}{key}: {value}", one.where or one.source


def _masked(setting: Setting, value: Any) -> Any:
    if setting.is_secret and value is not None:
        return MASK
    return _without_secrets(_plain(value))


def _without_secrets(value: Any) -> Any:
    match value:
        case dict():
            return {
                key: MASK if _SECRET_WORDS & set(str(key).lower().split("_")) else below
                for key, below in zip(value, map(_without_secrets, value.values()), strict=True)
            }
        case list():
            return [_without_secrets(item) for item in value]
        case str() if "://" in value and "@" in value:
            address = urlsplit(value)
            return value.replace(address.netloc, f"{MASK}@{address.netloc.rpartition('@')[2]}", 1)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Path | SecretStr):
        return str(value)
    return value
