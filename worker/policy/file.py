"""The file of a policy, as it is written."""

import hashlib
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from worker.domain.decisions import StatementOfReasons
from worker.domain.errors import UnusableFile
from worker.domain.validation import file_faults

STARTER = Path(__file__).parent / "starter.yaml"
# the same in C, where the library was built with it: a tenth of the time for thousands of rules
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_WORD = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
Word = Annotated[str, Field(pattern=_WORD, max_length=100)]
Probability = Annotated[float, Field(ge=0, le=1, strict=True)]
Thresholds = dict[Word, Probability]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Dates(_Strict):
    """Days on which something is in effect, both included, by the verdict's `judged_at` in UTC."""

    effective_from: date | None = None
    effective_until: date | None = None

    @model_validator(mode="after")
    def _in_order(self) -> "Dates":
        first, last = self.effective_from, self.effective_until
        if first and last and first > last:
            raise ValueError(f"effective_from {first} is after effective_until {last}")
        return self


class ReasonText(_Strict):
    """Why an action is taken."""

    code: Word = Field(description="For programs; stable between versions of a policy.")
    text: str = Field(min_length=1, max_length=2_000, description="For people.")


class DigitalServicesAct(_Strict):
    """Fields of a statement of reasons of the EU's Digital Services Act."""

    decision_ground: Literal[
        "DECISION_GROUND_ILLEGAL_CONTENT", "DECISION_GROUND_INCOMPATIBLE_CONTENT"
    ]
    category: Annotated[str, Field(pattern="^STATEMENT_CATEGORY_[A-Z_]+$")]
    ground_text: str = Field("", max_length=2_000, description="The law, or the term of use.")
    explanation: str = Field("", max_length=2_000)

    def statement(self) -> StatementOfReasons:
        """The same by the names of the transparency database."""
        pair = self.ground_text or None, self.explanation or None
        if self.decision_ground == "DECISION_GROUND_ILLEGAL_CONTENT":
            return StatementOfReasons(self.decision_ground, self.category, *pair)
        return StatementOfReasons(self.decision_ground, self.category, None, None, *pair)


class RuleFile(Dates):
    """A rule: if its condition is true, its action applies."""

    name: Word
    when: str = Field(min_length=1, description="A condition in CEL.")
    action: Word
    reason: ReasonText
    tenants: list[str] | None = Field(
        None,
        min_length=1,
        description="Tenants that it applies to, with those that inherit from them; all if unset.",
    )
    dsa: DigitalServicesAct | None = None


class Level(_Strict):
    """Thresholds of a tenant, or of several that inherit from it."""

    inherits: str | None = Field(None, description="Another of `tenants`.")
    thresholds: Thresholds = {}
    categories: dict[str, Thresholds] = Field({}, description="By the code of a category.")


class PolicyFile(Dates):
    """A policy."""

    name: Word
    version: str = Field(min_length=1, max_length=100)
    about: str = ""
    actions: list[Word] = Field(min_length=1, description="From the least to the most severe.")
    default: Word = Field(description="The action where no rule is true.")
    inconclusive: Word = Field(description="The least action of a verdict without a label.")
    dead_letter: Word = Field(description="The action of an event that has no verdict.")
    on_error: Word = Field(description="The least action where a rule fails on a verdict.")
    simulated: Word = Field(description="The action of a verdict that no model has made.")
    thresholds: Thresholds = {}
    categories: dict[str, Thresholds] = Field({}, description="By the code of a category.")
    tenants: dict[str, Level] = {}
    rules: list[RuleFile]


class InvalidPolicy(UnusableFile):
    """A policy with faults.

    Attributes:
        faults: all that were found, each a sentence.
    """

    def __init__(self, path: str, faults: list[str]) -> None:
        shown = "; ".join(faults[:_SHOWN])
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        super().__init__(f"{path}: {shown}{more}.")
        self.faults = faults


_SHOWN = 10


class ReadPolicy(NamedTuple):
    """A policy's file with the checksum of its bytes."""

    path: str
    file: PolicyFile
    sha256: str


def read_policy(path: Path) -> ReadPolicy:
    """The file of a policy.

    Raises:
        UnusableFile: it cannot be read, or is no policy.
    """
    try:
        held = path.read_bytes()
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}.") from None
    return parse_policy(held, str(path))


def parse_policy(held: bytes, path: str) -> ReadPolicy:
    """A policy from the bytes of its file.

    Raises:
        InvalidPolicy: it is none.
    """
    try:
        document = yaml.load(held.decode("utf-8"), _LOADER)  # noqa: S506 - a safe loader
    except UnicodeDecodeError:
        raise InvalidPolicy(path, ["not UTF-8"]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" in line {mark.line + 1}" if mark else ""
        raise InvalidPolicy(path, [f"not YAML{where}: {error.problem}"]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidPolicy(path, [f"not YAML ({type(error).__name__})"]) from None
    try:
        file = PolicyFile.model_validate(document)
    except ValidationError as error:
        raise InvalidPolicy(path, file_faults(error)) from None
    return ReadPolicy(path, file, hashlib.sha256(held).hexdigest())
