"""Decisions, and what a change of a policy changes, at a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.domain.decisions import Decision
from worker.domain.escaping import printable
from worker.operator.policies.comparing import Comparison
from worker.policy.explaining import Explanation

_WIDTH_OF_FILES = 160
_ROWS = 20
_STYLES = {"true": "green", "error": "red", "false": "dim", "not applied": "dim"}


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH_OF_FILES)


def show_explanation(decision: Decision, rules: Sequence[Explanation]) -> None:
    """Print a decision, and the rules that led to it."""
    console = _console()
    reason = f": {decision.reason.code}" if decision.reason else ""
    console.print(Text(printable(f"{decision.event_id}  {decision.action}{reason}"), "bold"))
    for rule in rules:
        head = f"  {rule.rule} ({rule.action}): {rule.outcome}"
        console.print(Text(printable(head), _STYLES[rule.outcome]))
        for step in rule.steps:
            values = ", ".join(f"{text} = {_plain(held)}" for text, held in step.values.items())
            line = f"    {step.text}: {step.outcome}{f'  [{values}]' if values else ''}"
            console.print(Text(printable(line), _STYLES[step.outcome]))


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return repr(value)


def comparison_document(found: Comparison) -> dict[str, Any]:
    """What two policies decide differently, for programs."""
    return {
        "verdicts": found.verdicts,
        "changed": found.changed,
        "actions": [
            {"old": old, "new": new, "verdicts": count}
            for (old, new), count in sorted(found.actions.items())
        ],
        "rules": _counts(found.rules, "newly_true", "no_longer_true"),
        "tenants": _counts(found.tenants, "verdicts", "changed"),
        "categories": _counts(found.categories, "verdicts", "changed"),
        "examples": found.examples,
    }


def _counts(held: Mapping[str, list[int]], *names: str) -> dict[str, dict[str, int]]:
    return {key: dict(zip(names, counts, strict=True)) for key, counts in sorted(held.items())}


def show_comparison(found: Comparison) -> None:
    """Print what two policies decide differently on the same verdicts."""
    console = _console()
    console.print(
        Text(f"{found.verdicts:,} verdicts, {found.changed:,} of them with another action", "bold")
    )
    actions = _table("old", "new", "verdicts")
    for (old, new), count in sorted(found.actions.items(), key=lambda one: -one[1]):
        if old != new:
            actions.add_row(printable(old), printable(new), f"{count:,}")
    rules = _table("rule", "newly true", "no longer true")
    for name, (more, less) in _largest(found.rules, 0):
        rules.add_row(printable(name), f"{more:,}", f"{less:,}")
    tables = [actions, rules]
    for head, held in (("tenant", found.tenants), ("category", found.categories)):
        table = _table(head, "verdicts", "with another action")
        for key, (total, changed) in _largest(held, 1):
            if changed:
                table.add_row(printable(key), f"{total:,}", f"{changed:,}")
        tables.append(table)
    examples = _table("event", "tenant", "old", "new", "old rules", "new rules")
    for one in found.examples:
        examples.add_row(
            printable(one.event_id),
            printable(one.tenant or "-"),
            one.old,
            one.new,
            ", ".join(one.old_rules) or "-",
            ", ".join(one.new_rules) or "-",
        )
    for table in (*tables, examples):
        if table.row_count:
            console.print("")
            console.print(table)


def _largest(held: Mapping[str, list[int]], of: int) -> list[tuple[str, list[int]]]:
    return sorted(held.items(), key=lambda one: (-sum(one[1][of:]), one[0]))[:_ROWS]


def _table(*heads: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head)
    return table
