"""Metrics of policies and of their decisions."""

from collections.abc import Callable, Sequence
from typing import Literal

from worker.domain.decisions import Decision, PolicyReference
from worker.telemetry import names
from worker.telemetry.instruments import Instruments

PolicyUse = Literal["acting", "shadow"]


class DecisionMetrics:
    """Records what the policies of a worker decide.

    Label values are names of the policies' own files: actions, and rules that failed.
    """

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._in_use: dict[PolicyUse, PolicyReference] = {}

    def watch(self, use: PolicyUse, is_broken: Callable[[], bool]) -> None:
        """Read whether the file of a policy cannot be used whenever metrics are collected."""
        self._instruments.gauge(names.POLICY_BROKEN, use).read = is_broken

    def uses(self, use: PolicyUse, policy: PolicyReference, actions: Sequence[str]) -> None:
        """A policy decides from now on; all its actions have a series, so that none is new."""
        self._in_use[use] = policy
        self._instruments.replace(
            names.POLICY_INFO,
            {(by, one.name, one.version, one.sha256): 1.0 for by, one in self._in_use.items()},
        )
        for action in actions:
            self._instruments.counter(names.DECISIONS, use, action)

    def decided(self, use: PolicyUse, decision: Decision) -> None:
        """A policy has decided."""
        self._instruments.counter(names.DECISIONS, use, decision.action).add()
        for rule in decision.errors:
            self._instruments.counter(names.RULE_ERRORS, use, rule).add()

    def differ(self, acting: Decision, shadow: Decision) -> None:
        """The two policies have different actions for a verdict."""
        self._instruments.counter(names.DECISIONS_DIFFER, acting.action, shadow.action).add()
