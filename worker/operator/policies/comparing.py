"""What a change of a policy changes, on stored verdicts."""

from collections import Counter
from dataclasses import dataclass, field

from worker.policy.judged import Judged
from worker.policy.policy import Policy

NO_TENANT = "(none)"


@dataclass(frozen=True, slots=True)
class Example:
    """A verdict that has another action."""

    verdict_id: str
    event_id: str
    tenant: str | None
    old: str
    new: str
    old_rules: tuple[str, ...]
    new_rules: tuple[str, ...]


@dataclass(slots=True)
class Comparison:
    """Counts over verdicts.

    Attributes:
        actions: verdicts by the action of the old policy and of the new one.
        rules: by rule, how many verdicts it is newly true for, and how many no longer.
        tenants: by tenant, verdicts, and how many of them have another action.
        categories: the same by the code of a category.
        examples: the first verdicts with each change of action.
    """

    verdicts: int = 0
    actions: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: dict[str, list[int]] = field(default_factory=dict)
    tenants: dict[str, list[int]] = field(default_factory=dict)
    categories: dict[str, list[int]] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)

    @property
    def changed(self) -> int:
        """How many verdicts have another action."""
        return sum(count for (old, new), count in self.actions.items() if old != new)


class Comparing:
    """Decides by two policies.

    Args:
        examples: how many are kept for each change of action.
    """

    def __init__(self, old: Policy, new: Policy, examples: int) -> None:
        self._policies = old, new
        self._examples = examples
        self.found = Comparison()

    def add(self, verdict: Judged) -> None:
        """Count a verdict."""
        found = self.found
        old, new = (policy.decide(verdict, 0.0) for policy in self._policies)
        found.verdicts += 1
        found.actions[old.action, new.action] += 1
        is_changed = old.action != new.action
        for name in set(new.rules) ^ set(old.rules):
            counts = found.rules.setdefault(name, [0, 0])
            counts[0 if name in new.rules else 1] += 1
        tenants = [verdict.tenant if verdict.tenant is not None else NO_TENANT]
        for keys, table in (
            (tenants, found.tenants),
            ({one.code for one in verdict.categories}, found.categories),
        ):
            for key in keys:
                counts = table.setdefault(key, [0, 0])
                counts[0] += 1
                counts[1] += is_changed
        if is_changed and found.actions[old.action, new.action] <= self._examples:
            found.examples.append(
                Example(
                    verdict.verdict_id,
                    verdict.event_id,
                    verdict.tenant,
                    old.action,
                    new.action,
                    old.rules,
                    new.rules,
                )
            )
