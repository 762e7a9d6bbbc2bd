"""Decisions: what a policy makes of a verdict."""

import uuid
from dataclasses import dataclass
from typing import Literal

from worker.domain.encoding import encode_json
from worker.domain.identifiers import uuid5

DECISION_SCHEMA = "guardstream.decision/1"
_NAMESPACE = uuid.UUID("b7a1e2d4-52f6-5b0e-8c1d-0f7d9c3a6e25")


@dataclass(frozen=True, slots=True)
class PolicyReference:
    """The policy that decided.

    Attributes:
        sha256: of its file.
    """

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an action is taken: a code for programs, a text for people."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class StatementOfReasons:
    """What a rule gives to a statement of reasons of the EU's Digital Services Act (article 17).

    The names are those of the Commission's transparency database. Of the two pairs of ground and
    explanation, the one of the decision ground is set.
    """

    decision_ground: str
    category: str
    illegal_content_legal_ground: str | None = None
    illegal_content_explanation: str | None = None
    incompatible_content_ground: str | None = None
    incompatible_content_explanation: str | None = None
    automated_detection: Literal["Yes"] = "Yes"
    automated_decision: Literal["AUTOMATED_DECISION_FULLY"] = "AUTOMATED_DECISION_FULLY"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy makes of one verdict. Times are RFC 3339, UTC.

    Attributes:
        rules: the names of all rules that are true, in the order of the policy.
        reason: of the first of them that has this action; null for the policy's default action.
        automated: whether no person was part of it: always so for a policy.
        errors: the names of rules that failed on this verdict.
        dsa: of the rule that gives the reason, if that rule has it.
    """

    decision_id: str
    verdict_id: str
    event_id: str
    conversation_id: str | None
    user_id: str | None
    tenant: str | None
    action: str
    rules: tuple[str, ...]
    reason: Reason | None
    policy: PolicyReference
    decided_at: str
    automated: Literal[True] = True
    errors: tuple[str, ...] = ()
    dsa: StatementOfReasons | None = None
    schema: Literal["guardstream.decision/1"] = "guardstream.decision/1"


def decision_id(verdict_id: str, policy_sha256: str) -> str:
    """A UUIDv5, equal for each decision of a policy on a verdict: usable for deduplication."""
    return uuid5(_NAMESPACE, f"{verdict_id}\x00{policy_sha256}".encode("utf-8", "replace"))


def encode_decision(decision: Decision) -> bytes:
    """The decision as JSON; lone surrogates become question marks."""
    return encode_json(decision)
