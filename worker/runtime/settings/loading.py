"""From where settings were set to their values.

The environment (`GUARDSTREAM_INPUT__GROUP_ID=...`) wins over a YAML file (`--config`), which wins
over the defaults. An unknown key is an error.
"""

from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from worker.domain.errors import WrongSetting
from worker.runtime.settings.faults import Fault
from worker.runtime.settings.given import Given, group_at, read_given, set_in_group
from worker.runtime.settings.model import Settings
from worker.runtime.settings.spelling import meant_setting, meant_settings, meant_variable


class _Merged(Settings):
    """Settings of values that are merged already."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def load_settings(config: Path | None = None, **overrides: dict[str, Any]) -> Settings:
    """The settings of the environment and the file; `overrides` of a group win over both.

    Raises:
        WrongSetting: a key is unknown, or a value cannot be used.
    """
    return usable(read_given(config, overrides), config)


def usable(given: Given, config: Path | None) -> Settings:
    """The settings, if nothing is wrong with them.

    Raises:
        WrongSetting: names the first fault, and the command that lists all if there are more.
    """
    settings, faults = check(given)
    if settings is None:
        command = " ".join(["guardstream config lint", *([str(config)] if config else [])])
        more = f" `{command}` lists all faults." if len(faults) > 1 else ""
        raise WrongSetting(faults[0].sentence + more)
    return settings


def check(given: Given) -> tuple[Settings | None, list[Fault]]:
    """The settings, or all that is wrong with them."""
    settings, details = _validated(given.values)
    unknown = [detail for detail in details if detail["type"] == "extra_forbidden"]
    if unknown:
        # a group with an unknown key is not checked as a unit
        _, others = _validated(_respelt(given.values, [_path(detail) for detail in unknown]))
        details += [other for other in others if other not in details and group_at(_path(other))]
    faults = given.faults + [_fault(detail, given) for detail in details]
    return (None if faults else settings), faults


def _validated(values: dict[str, Any]) -> tuple[Settings | None, list[ErrorDetails]]:
    try:
        return _Merged(**values), []
    except ValidationError as error:
        return None, error.errors(include_url=False, include_context=False, include_input=False)


def _respelt(values: dict[str, Any], unknown: list[tuple[str, ...]]) -> dict[str, Any]:
    """The values without unknown keys; one that means a setting which is not set, sets it."""
    values = deepcopy(values)
    for path in unknown:
        group = values
        for key in path[:-1]:
            group = group[key]
        value = group.pop(path[-1])
        meant = meant_settings(path)
        if len(meant) == 1 and meant[0][:-1] == path[:-1]:
            group.setdefault(meant[0][-1], value)
    return values


def _path(detail: ErrorDetails) -> tuple[str, ...]:
    return tuple(str(part) for part in detail["loc"])


def _fault(detail: ErrorDetails, given: Given) -> Fault:
    path = _path(detail)
    name = ".".join(path)
    what = detail["msg"].removeprefix("Value error, ")
    where = _where(path, what, given)
    if detail["type"] != "extra_forbidden":
        return Fault(name, where, what)
    places = given.places.get(path, [])
    by_variable = bool(places) and places[-1].source == "environment"
    hint = meant_variable(where) if by_variable else meant_setting(path)
    return Fault.unknown(name, where, hint)


def _where(path: tuple[str, ...], what: str, given: Given) -> str:
    """Where the setting was set, or those that the message names, or its group."""
    for length in range(len(path), 0, -1):
        if places := given.places.get(path[:length]):
            return places[-1].text
    words = {word.strip(".,:;`") for word in what.split()}
    named = [places[-1].text for key, places in given.places.items() if ".".join(key) in words]
    return ", ".join(dict.fromkeys(named or set_in_group(given, path)))
