"""A policy, ready to decide."""

import logging
from collections import Counter
from pathlib import Path

from worker.domain.decisions import (
    Decision,
    PolicyReference,
    Reason,
    StatementOfReasons,
    decision_id,
)
from worker.domain.verdicts import rfc3339
from worker.policy.file import STARTER, InvalidPolicy, ReadPolicy, RuleFile, read_policy
from worker.policy.judged import Judged
from worker.policy.program import Matches, Program, compile_rules
from worker.policy.thresholds import TenantThresholds, faults_of_levels, resolve, with_heirs

logger = logging.getLogger(__name__)

_SIMULATED = "simulated"
_LAST_RESORTS = ("default", "inconclusive", "dead_letter", "on_error", "simulated")


class Policy:
    """A compiled policy: `decide` is a pure function of it and a verdict.

    Args:
        read: its file.

    Attributes:
        reference: what decisions name.
        dead_letter: the action of an event that has no verdict.

    Raises:
        InvalidPolicy: it has faults, such as a rule that names what no verdict has.
    """

    def __init__(self, read: ReadPolicy) -> None:
        file = self.file = read.file
        faults = [*_faults(read), *faults_of_levels(file)]
        program, found = compile_rules(file) if not faults else (None, [])
        if program is None:
            raise InvalidPolicy(read.path, faults + found)
        self.program: Program = program
        self.reference = PolicyReference(file.name, file.version, read.sha256)
        self.dead_letter = file.dead_letter
        self._others, self._tenants = resolve(file)
        self._severity = {action: at for at, action in enumerate(file.actions)}
        self._rules = [
            (
                rule.name,
                self._severity[rule.action],
                Reason(rule.reason.code, rule.reason.text),
                rule.dsa.statement() if rule.dsa else None,
            )
            for rule in file.rules
        ]
        first, last = file.effective_from, file.effective_until
        self._days = (
            first.isoformat() if first else "",
            last.isoformat() if last else "9999-12-31",
        )

    def thresholds_of(self, tenant: str | None) -> TenantThresholds:
        """The thresholds of a tenant; of one that the policy does not name, those of all others."""
        return self._others if tenant is None else self._tenants.get(tenant, self._others)

    def matches(self, verdict: Judged) -> Matches:
        """The numbers of the rules that are true for a verdict, and of those that fail."""
        found = self.thresholds_of(verdict.tenant)
        return self.program.run(verdict, verdict.judged_at[:10], found.plain, found.by_category)

    def is_in_effect(self, verdict: Judged) -> bool:
        """Whether the verdict was judged on a day of this policy."""
        first, last = self._days
        return first <= verdict.judged_at[:10] <= last

    def applies(self, rule: RuleFile, verdict: Judged) -> bool:
        """Whether a rule is for the verdict's tenant and day."""
        day = verdict.judged_at[:10]
        for_tenant = rule.tenants is None or verdict.tenant in with_heirs(self.file, rule.tenants)
        first, last = rule.effective_from, rule.effective_until
        return (
            for_tenant
            and (first is None or first.isoformat() <= day)
            and (last is None or day <= last.isoformat())
        )

    def decide(self, verdict: Judged, decided_at: float) -> Decision:
        """The decision on a verdict.

        Args:
            verdict: as `judged` or `read_judged` gives it.
            decided_at: the time, in seconds since 1970; nothing depends on it.
        """
        matched: list[int] = []
        failed: list[int] = []
        file = self.file
        reason: Reason | None
        dsa: StatementOfReasons | None = None
        if not self.is_in_effect(verdict):
            action, reason = file.default, _NOT_IN_EFFECT
        elif _SIMULATED in verdict.flags:
            action, reason = file.simulated, _NOT_JUDGED
        else:
            matched, failed = self._evaluate(verdict)
            action, reason, dsa = self._outcome(verdict, matched, failed)
        rules = self._rules
        return Decision(
            decision_id(verdict.verdict_id, self.reference.sha256),
            verdict.verdict_id,
            verdict.event_id,
            verdict.conversation_id,
            verdict.user_id,
            verdict.tenant,
            action,
            tuple([rules[number][0] for number in matched]),
            reason,
            self.reference,
            rfc3339(decided_at),
            errors=tuple([rules[number][0] for number in failed]),
            dsa=dsa,
        )

    def _evaluate(self, verdict: Judged) -> Matches:
        try:
            return self.matches(verdict)
        except Exception:
            # rules do not raise; one that did would stop the worker at the same verdict each time
            logger.exception("No rule could be evaluated on the verdict %s", verdict.verdict_id)
            return [], list(range(len(self._rules)))

    def _outcome(
        self, verdict: Judged, matched: list[int], failed: list[int]
    ) -> tuple[str, Reason | None, StatementOfReasons | None]:
        file, worst = self.file, -1
        reason: Reason | None = None
        dsa: StatementOfReasons | None = None
        for number in matched:
            _, severity, text, statement = self._rules[number]
            if severity > worst:
                worst, reason, dsa = severity, text, statement
        if failed and (severity := self._severity[file.on_error]) > worst:
            worst, reason, dsa = severity, _FAILED, None
        if verdict.status == "inconclusive" and (
            (severity := self._severity[file.inconclusive]) > worst
        ):
            worst, reason, dsa = severity, _INCONCLUSIVE, None
        return (file.default if worst < 0 else file.actions[worst]), reason, dsa


_NOT_IN_EFFECT = Reason("not_in_effect", "The policy was not in effect when the verdict was made.")
_NOT_JUDGED = Reason("simulated", "The engine is simulated, so no model has read the exchange.")
_INCONCLUSIVE = Reason("inconclusive", "The guard gave no label to a question that applies.")
_FAILED = Reason("rule_failed", "A rule could not be evaluated on this verdict.")


def load_policy(path: Path | None = None) -> Policy:
    """The policy of a file; without one, the starter policy.

    Raises:
        UnusableFile: the file cannot be read, or has faults.
    """
    return Policy(read_policy(path or STARTER))


def _faults(read: ReadPolicy) -> list[str]:
    file = read.file
    actions = set(file.actions)
    faults = [
        f"{what}: there is no action {getattr(file, what)}; `actions` names all of them"
        for what in _LAST_RESORTS
        if getattr(file, what) not in actions
    ]
    faults += [f"actions: {name} is there twice" for name in _repeated(file.actions)]
    faults += [
        f"rules: there are several of the name {name}"
        for name in _repeated([rule.name for rule in file.rules])
    ]
    faults += [
        f"rule {rule.name}: there is no action {rule.action}; `actions` names all of them"
        for rule in file.rules
        if rule.action not in actions
    ]
    return faults


def _repeated(names: list[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
