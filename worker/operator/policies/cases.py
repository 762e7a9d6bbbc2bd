"""The tests of a policy: verdicts, and the action that is expected of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from worker.domain.errors import UnusableFile
from worker.domain.verdicts import rfc3339
from worker.policy.judged import Judged, NotAVerdict, read_judged
from worker.policy.policy import Policy
from worker.policy.types import NAMES, TASKS

_NO_ANSWER: Mapping[str, Any] = {"label": None, "score": None, "source": None}


class Case(BaseModel):
    """A case: a verdict by the names that rules use, and what is expected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    verdict: dict[str, Any] = {}
    action: str
    rules: list[str] | None = Field(None, description="All rules that are true, in any order.")
    errors: list[str] = Field([], description="All rules that fail.")


@dataclass(frozen=True, slots=True)
class Checked:
    """A case, and how the decision differs from what it expects; empty if it does not."""

    name: str
    differences: tuple[str, ...]


_CASES = TypeAdapter(list[Case])


def read_cases(path: Path) -> list[Case]:
    """The cases of a file.

    Raises:
        UnusableFile: it cannot be read, or holds something else.
    """
    try:
        cases = _CASES.validate_python(yaml.safe_load(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UnusableFile(f"{path} is no readable YAML file ({type(error).__name__}).") from None
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the file"
        raise UnusableFile(f"{path}: {where}: {fault['msg']}.") from None
    if not cases:
        raise UnusableFile(f"{path}: there is no case in it.")
    return cases


def check_case(policy: Policy, case: Case, now: float) -> Checked:
    """Decide on a case.

    Args:
        policy: what is tested.
        case: what is expected of it.
        now: when its verdict was made, unless it has `judged_at`.

    Raises:
        UnusableFile: its verdict is none.
    """
    try:
        verdict = _verdict(case, now)
    except NotAVerdict as error:
        raise UnusableFile(f"The case {case.name} has no usable verdict: {error}.") from None
    found = policy.decide(verdict, now)
    differences = []
    if found.action != case.action:
        differences.append(f"action {found.action}, expected {case.action}")
    if case.rules is not None and sorted(found.rules) != sorted(case.rules):
        differences.append(f"rules {_names(found.rules)}, expected {_names(case.rules)}")
    if sorted(found.errors) != sorted(case.errors):
        differences.append(f"failed rules {_names(found.errors)}, expected {_names(case.errors)}")
    return Checked(case.name, tuple(differences))


def _verdict(case: Case, now: float) -> Judged:
    given = dict(case.verdict)
    document: dict[str, Any] = {
        "verdict_id": case.name,
        "event_id": case.name,
        "status": "complete",
        "judged_at": rfc3339(now),
    }
    for short, question in TASKS.items():
        if short in given and question.name in given:
            raise NotAVerdict(f"it has both {short} and {question.name}")
        answer = given.pop(short, None) or given.pop(question.name, None)
        document[question.name] = answer or _NO_ANSWER
    if unknown := given.keys() - NAMES.keys() - {"verdict_id", "event_id", "judged_at"}:
        raise NotAVerdict(f"a verdict has no field {min(unknown)}")
    return read_judged(document | given)


def _names(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"
