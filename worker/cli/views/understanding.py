"""How much of some records a mapping understands, for a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worker.domain.escaping import printable
from worker.operator.understanding import FIELDS, Suggestion, Understanding


def show_understanding(found: Understanding, mapping: str) -> None:
    """Print the report of `map` on stderr: stdout has the events."""
    console = Console(stderr=True, highlight=False)
    counts = Table(box=None, show_header=False, pad_edge=False)
    counts.add_row("records", f"{found.records}, of which {found.understood} are understood")
    counts.add_row(
        "exchanges", f"{found.exchanges}, of which {found.with_response} have a response"
    )
    for reason, count in found.skipped.items():
        counts.add_row("skipped", f"{count} ({reason})")
    for flag, count in found.flags.items():
        counts.add_row("flagged", f"{count} ({flag})")
    for name, count in found.refused.items():
        counts.add_row("refused", f"{count} ({name})")
    console.print(f"[bold]mapping {escape(mapping)}[/]")
    console.print(counts)
    if found.exchanges:
        table = Table("field of the event", "found in", box=None, pad_edge=False)
        for field in FIELDS:
            style = "dim" if not found.found[field] else ""
            table.add_row(field, f"{found.found[field]} of {found.exchanges}", style=style)
        console.print(table)
    for refused in found.first_refused:
        name = type(refused.error).__name__
        text = escape(printable(str(refused.error)))
        console.print(f"{refused.place}: {name}: {text}", soft_wrap=True)
    left = sum(found.refused.values()) - len(found.first_refused)
    if left > 0:
        console.print(f"… and {left} more")


def show_suggestions(found: Sequence[Suggestion], records: int) -> None:
    """Print which mappings understand the records, and the setting of the best one."""
    table = Table("mapping", "records", "exchanges", "with response", "fields", box=None)
    for one in found:
        understanding = one.understanding
        fields = [field for field in FIELDS if understanding.found[field]]
        table.add_row(
            one.name,
            f"{understanding.understood} of {records}",
            str(understanding.exchanges),
            str(understanding.with_response),
            ", ".join(fields),
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(f"\nGUARDSTREAM_INPUT__MAPPING={found[0].name}", soft_wrap=True)
