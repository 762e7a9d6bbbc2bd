"""The registry of guards: one file or folder for each model family."""

from collections.abc import Callable, Mapping
from typing import Any

from worker.domain.calibration import Calibration
from worker.domain.errors import WrongSetting
from worker.domain.guard import Guard
from worker.guards.guardreasoner.guard import GuardReasoner

# each takes the settings of the groups `guard` and `judging`, and what the calibration file says
GUARDS: dict[str, Callable[[Mapping[str, Any], Calibration | None], Guard]] = {
    "guardreasoner": GuardReasoner.from_options,
}


def build_guard(
    name: str, options: Mapping[str, Any], calibration: Calibration | None = None
) -> Guard:
    """The guard with this name.

    Raises:
        WrongSetting: there is none.
    """
    build = GUARDS.get(name)
    if build is None:
        raise WrongSetting(f"guard.name: there is no guard {name!r}; use {', '.join(GUARDS)}.")
    return build(options, calibration)
