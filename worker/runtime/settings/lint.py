"""All faults of the settings, and mistakes that a worker would ignore."""

import os
from collections.abc import Iterator
from math import inf
from pathlib import Path

from worker.decoding.mapping import load_mapping
from worker.domain.errors import WrongSetting
from worker.guards import build_guard
from worker.runtime.settings.faults import Fault
from worker.runtime.settings.given import Given, read_given
from worker.runtime.settings.loading import check
from worker.runtime.settings.model import Settings
from worker.runtime.settings.spelling import meant_prefix


def lint_settings(config: Path | None) -> tuple[int, list[Fault]]:
    """How many settings are set, and all faults of the file and the environment."""
    given = read_given(config)
    _, faults = check(given)
    faults += _set_twice(given, config)
    faults += _misspelt_prefixes()
    if not any(fault.setting in {"input", "input.mapping"} for fault in faults):
        faults += _mapping(given)
    # what cannot be read is a fault already
    if not any(fault.setting.split(".")[0] in {"guard", "judging"} for fault in faults):
        faults += _guard(given)
    return len(given.places), sorted(faults, key=_line)


def _line(fault: Fault) -> float:
    """The line of the file, so that variables come last."""
    line = fault.where.partition(",")[0].rpartition(":")[2]
    return int(line) if line.isdecimal() else inf


def _set_twice(given: Given, config: Path | None) -> Iterator[Fault]:
    for path, lines in given.lines.items():
        if len(lines) > 1:
            first, *others = map(str, lines)
            what = f"it is set on line {first} too; only line {others[-1]} has an effect"
            yield Fault(".".join(path), f"{config}:{others[-1]}", what)


def _misspelt_prefixes() -> Iterator[Fault]:
    for variable in sorted(os.environ):
        if meant := meant_prefix(variable):
            yield Fault.unknown(variable, variable, f"did you mean {meant}?")


def _mapping(given: Given) -> Iterator[Fault]:
    group = given.values.get("input")
    chosen = group.get("mapping") if isinstance(group, dict) else None
    if not isinstance(chosen, str):
        chosen = Settings.model_fields["input"].default.mapping
    try:
        load_mapping(chosen)
    except WrongSetting as error:
        where = given.places[("input", "mapping")][-1].text
        what = str(error).removeprefix("input.mapping cannot be used: ").removesuffix(".")
        yield Fault("input.mapping", where, what)


def _guard(given: Given) -> Iterator[Fault]:
    """Faults of a description, and of the options that it is given."""
    settings = [Settings.model_fields[name].default for name in ("guard", "judging")]
    groups = [given.values.get(name) or {} for name in ("guard", "judging")]
    guard, judging = (
        type(default).model_validate(group) for default, group in zip(settings, groups, strict=True)
    )
    try:
        build_guard(guard.name, guard.model_dump(exclude={"name"}) | judging.model_dump())
    except WrongSetting as error:
        named, _, what = str(error).removesuffix(".").partition(": ")
        name = named.removesuffix(" cannot be used")
        # an option is set with its group
        path = tuple(name.split("."))[:2]
        places = given.places.get(path) or given.places.get(("guard", "name"), [])
        yield Fault(name, places[-1].text if places else "", what)
