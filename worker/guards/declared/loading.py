"""Descriptions in files: those that ship, and those of users."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from worker.domain.calibration import UNCALIBRATED, Calibration
from worker.domain.chat import TemplateSource
from worker.domain.errors import UnusableFile, WrongSetting
from worker.domain.validation import file_faults
from worker.guards.declared.checking import faults
from worker.guards.declared.description import Description, Switch
from worker.guards.declared.guard import DeclaredGuard, Judging
from worker.guards.declared.plan import plan

_DESCRIPTIONS = Path(__file__).parent / "descriptions"
_SUFFIXES = (".yaml", ".yml")
# JSON's names of types
_KINDS = {bool: "true or false", str: "a text", list: "a list", dict: "a mapping"}


def shipped() -> list[str]:
    """The names of the descriptions that ship."""
    return sorted(path.stem for path in _DESCRIPTIONS.glob("*.yaml"))


def is_path(name: str) -> bool:
    """Whether a value of `guard.name` is the path of a description."""
    return name.endswith(_SUFFIXES)


def path_of(name: str) -> Path:
    """The file of a description that ships, by name, or of a user, by path."""
    return Path(name) if is_path(name) else _DESCRIPTIONS / f"{name}.yaml"


def read_description(path: Path) -> Description:
    """The description in a file, its options with their defaults.

    Raises:
        UnusableFile: there is none, or it is no description.
    """
    description = _parsed(path)
    if found := "; ".join(
        f"{where}: {why}" for where, why in faults(description, description.options)
    ):
        raise UnusableFile(f"{path}: {found}.")
    return description


def declared_guard(
    path: Path,
    settings: Mapping[str, Any],
    calibration: Calibration | None,
    templates: TemplateSource,
) -> DeclaredGuard:
    """The guard of a description.

    Args:
        path: of the description.
        settings: of the groups `guard` and `judging`.
        calibration: of its scores.
        templates: the chat template of the model.

    Raises:
        WrongSetting: the file is no description, or a setting is not possible with it.
    """
    try:
        description = read_description(path)
    except UnusableFile as error:
        raise WrongSetting(f"guard.name cannot be used: {error}") from None
    mode = settings.get("reasoning", "always")
    if mode not in ("always", "never"):
        raise WrongSetting(
            f"judging.reasoning: {mode} is not possible with a guard that a file describes; use"
            " always or never."
        )
    context_turns = settings.get("context_turns", 0)
    if context_turns and not any(call.conversation for call in description.calls):
        raise WrongSetting(
            f"guard.context_turns: the guard {path.stem} takes no earlier turns, as no call has"
            " `conversation: true`; set it to 0."
        )
    switch = description.reasoning.never if mode == "never" else description.reasoning.always
    options = _options(description, switch, settings.get("options") or {}, path)
    answered_by = [
        description.model_dump(exclude={"about", "models", "licence", "reasoning"}),
        options,
        switch.model_dump(),
    ]
    if context_turns:
        # with other turns, other answers; without any, the identity that verdicts always had
        answered_by.append(
            {name: settings.get(name) for name in ("context_turns", "context_tokens")}
        )
    return DeclaredGuard(
        path.stem,
        plan(description, options, mode),
        identity=json.dumps(answered_by, sort_keys=True),
        templates=templates,
        judging=Judging(
            repair=bool(settings.get("repair", True)),
            least_mass=settings.get("least_mass", 0.5),
            calibration=calibration or UNCALIBRATED,
        ),
        takes_context=bool(context_turns),
    )


def _parsed(path: Path) -> Description:
    try:
        held = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UnusableFile(f"There is no file {path}; {_known()}.") from None
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise UnusableFile(f"{path}{line} is not YAML ({error.problem}).") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UnusableFile(
            f"{path} is not a readable YAML file ({type(error).__name__})."
        ) from None
    try:
        return Description.model_validate(held)
    except ValidationError as error:
        raise UnusableFile(f"{path}: {'; '.join(file_faults(error))}.") from None


def _known() -> str:
    return f"the descriptions that ship are {', '.join(shipped())}"


def _options(
    description: Description, switch: Switch, given: Mapping[str, Any], path: Path
) -> dict[str, Any]:
    """The options with what was set."""
    defaults = {**description.options, **switch.options}
    for name, value in given.items():
        if name not in defaults:
            known = f"; use {', '.join(defaults)}" if defaults else ""
            raise WrongSetting(
                f"guard.options.{name}: the guard {path.stem} has no such option{known}."
            )
        default = defaults[name]
        # null is the default of an option of any type
        if default is not None and value is not None and not _same_type(value, default):
            kind = next(
                (text for one, text in _KINDS.items() if isinstance(default, one)), "a number"
            )
            raise WrongSetting(f"guard.options.{name}: it must be {kind}.")
    options = {**defaults, **given}
    for name, what in description.required.items():
        if not options[name]:
            raise WrongSetting(
                f"guard.options.{name}: the guard {path.stem} needs it: {what.rstrip('.')}."
            )
    if wrong := "; ".join(f"{where}: {why}" for where, why in faults(description, options)):
        raise WrongSetting(f"guard.options: {wrong.replace('options.', 'guard.options.')}.")
    return options


def _same_type(value: Any, default: Any) -> bool:
    if isinstance(value, bool) or isinstance(default, bool):
        return type(value) is type(default)
    if isinstance(default, int | float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))
