"""The registry of guards: coded ones, descriptions that ship, those of packages and of users.

A package offers a guard by an entry point of the group `guardstream.guards`: the path of a
description, or a callable with the signature of those in `GUARDS`.
"""

import os
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from worker.domain.calibration import Calibration
from worker.domain.chat import ChatTemplate, TemplateSource
from worker.domain.errors import WrongSetting
from worker.domain.guard import Guard
from worker.guards.declared.loading import declared_guard, is_path, path_of, shipped
from worker.guards.guardreasoner.guard import GuardReasoner

ENTRY_POINTS = "guardstream.guards"
Builder = Callable[[Mapping[str, Any], Calibration | None, TemplateSource], Guard]

# each takes the settings of the groups `guard` and `judging`, what the calibration file says, and
# the chat template of the model
GUARDS: dict[str, Builder] = {
    "guardreasoner": GuardReasoner.from_options,
}


def no_template() -> ChatTemplate:
    """The chat template where there is no model.

    Raises:
        WrongSetting: always.
    """
    raise WrongSetting(
        "guard.name: this guard needs the chat template of a model: set engine.model."
    )


def known_guards() -> list[str]:
    """The names that `guard.name` can have, in addition to paths."""
    return list(dict.fromkeys((*GUARDS, *shipped(), *_offered())))


def is_known(name: str) -> bool:
    """Whether `guard.name` can have this value; a path is not read."""
    return name in GUARDS or is_path(name) or name in shipped() or name in _offered()


def is_declared(name: str) -> bool:
    """Whether this guard is a description, which reads its scores off its answers."""
    return _description(name) is not None


def build_guard(
    name: str,
    options: Mapping[str, Any],
    calibration: Calibration | None = None,
    templates: TemplateSource = no_template,
) -> Guard:
    """The guard with this name.

    Args:
        name: a known one, or the path of a description.
        options: the settings of the groups `guard` and `judging`.
        calibration: what the calibration file says.
        templates: the chat template of the model.

    Raises:
        WrongSetting: there is no such guard, or an option is not possible with it.
    """
    if not is_known(name):
        raise WrongSetting(f"guard.name: {unknown_guard(name)}.")
    path = _description(name)
    if path is not None:
        return declared_guard(path, options, calibration, templates)
    build = GUARDS.get(name)
    return (build or _load(_offered()[name]))(options, calibration, templates)


def unknown_guard(name: str) -> str:
    """Why there is no guard of a name."""
    return (
        f"there is no guard {name!r}; use {', '.join(known_guards())}, or the path of a"
        " description (.yaml)"
    )


def _description(name: str) -> Path | None:
    """The file of a guard that is a description."""
    if name in GUARDS:
        return None
    if is_path(name) or name in shipped():
        return path_of(name)
    offered = _offered().get(name)
    found = None if offered is None else _load(offered)
    return Path(found) if isinstance(found, str | os.PathLike) else None


def _offered() -> dict[str, EntryPoint]:
    return {one.name: one for one in entry_points(group=ENTRY_POINTS)}


def _load(offered: EntryPoint) -> Any:
    try:
        return offered.load()
    except (ImportError, AttributeError) as error:
        raise WrongSetting(
            f"guard.name: the package that offers {offered.name} cannot be loaded"
            f" ({type(error).__name__}: {error})."
        ) from None
