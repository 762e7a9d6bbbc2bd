"""The policies of a round: the workers' file is another every few seconds."""

import asyncio
import itertools
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.unit.policy.policies import document
from worker.domain.decisions import Decision, decision_id
from worker.policy.policy import load_policy

# a simulated engine's verdict always gets this action, and each policy has another one
_ACTIONS = ("allow", "log", "block")
_CHANGE_SECONDS = 4.0
_NAME = "policy.yaml"


def policy_settings(folder: Path) -> dict[str, str]:
    """The settings of workers that decide by a file in the folder."""
    _write(folder, 0)
    return {"POLICY__FILE": str(folder / _NAME)}


async def change_policies(folder: Path) -> None:
    """Replace the file again and again, as Kubernetes does."""
    for number in itertools.count(1):
        await asyncio.sleep(_CHANGE_SECONDS)
        _write(folder, number % len(_ACTIONS))


def _write(folder: Path, number: int) -> None:
    made = document(version=str(number), simulated=_ACTIONS[number])
    new = folder / f"new-{_NAME}"
    new.write_text(yaml.safe_dump(made), encoding="utf-8")
    # what is written can be read: a round without decisions would prove nothing
    load_policy(new)
    new.replace(folder / _NAME)


@dataclass(frozen=True, slots=True)
class FoundDecision:
    """A decision that its topic holds.

    Attributes:
        header: the action in its headers.
        expected: the action of the policy that it names.
        is_named_well: whether its id follows from verdict and policy.
        output: topic and partition it lies in, at `position`.
    """

    verdict_id: str
    action: str
    header: str
    expected: str
    is_named_well: bool
    output: tuple[str, int]
    position: int
    at: float


def found_decision(
    decision: Decision, header: str, output: tuple[str, int], position: int, at: float
) -> FoundDecision:
    """What the oracle has to know of a decision."""
    wanted = decision_id(decision.verdict_id, decision.policy.sha256)
    return FoundDecision(
        decision.verdict_id,
        decision.action,
        header,
        _ACTIONS[int(decision.policy.version)],
        decision.decision_id == wanted,
        output,
        position,
        at,
    )
