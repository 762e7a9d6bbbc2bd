"""The agreement of two guards as tables at a terminal."""

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from worker.domain.escaping import printable
from worker.evaluation.agreement import Agreement, TaskAgreement
from worker.evaluation.intervals import Estimate
from worker.evaluation.verdict_labels import Label

_WIDTH_OF_FILES = 160


def show_agreement(found: Agreement, names: tuple[str, str]) -> None:
    """Print what two files of verdicts have in common, and where they differ."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH_OF_FILES)
    for part in _parts(found, names):
        console.print(part)


def _parts(found: Agreement, names: tuple[str, str]) -> Iterator[RenderableType]:
    for letter, name, guards in zip("AB", names, found.guards, strict=True):
        yield Text(f"{letter}: {printable(name)} ({printable(', '.join(guards) or 'empty')})")
    yield Text(f"{found.events:,} events in both{_besides(found)}", "bold")
    yield ""
    figures = _table("task", "compared", "agreement [95%]", "kappa [95%]", "positive", "A", "B")
    for task, one in found.tasks.items():
        figures.add_row(
            printable(task),
            f"{one.compared:,}",
            _interval(one.agreement),
            _interval(one.kappa),
            one.positive or "-",
            _percent(one.our_rate),
            _percent(one.their_rate),
        )
    yield figures
    yield ""
    pairs = _table("task", "A", "B", "events")
    for task, one in found.tasks.items():
        for mine, other, count in _differing(one):
            pairs.add_row(printable(task), printable(mine), printable(other), f"{count:,}")
    if pairs.row_count:
        yield pairs
    if found.differences:
        yield ""
        examples = _table("event", "task", "A", "B")
        for difference in found.differences:
            examples.add_row(
                printable(difference.event_id),
                printable(difference.task),
                _label(difference.ours),
                _label(difference.theirs),
            )
        yield examples


def _besides(found: Agreement) -> str:
    named = {
        "only in A": found.only[0],
        "only in B": found.only[1],
        "inconclusive in A only": found.inconclusive[0],
        "inconclusive in B only": found.inconclusive[1],
        "inconclusive in both": found.inconclusive[2],
        "repeated in A": found.repeated[0],
        "repeated in B": found.repeated[1],
    }
    return "".join(f", {count:,} {name}" for name, count in named.items() if count)


def _differing(one: TaskAgreement) -> Iterator[tuple[str, str, int]]:
    for mine, row in one.pairs.items():
        for other, count in row.items():
            if mine != other and count:
                yield mine, other, count
    for name, count in zip(("A", "B"), one.labels_missing, strict=True):
        if count:
            yield ("no label", "a label", count) if name == "A" else ("a label", "no label", count)


def _table(*heads: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head)
    return table


def _interval(one: Estimate) -> str:
    if one.value is None:
        return "-"
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def _percent(one: Estimate | None) -> str:
    return "-" if one is None or one.value is None else f"{one.value:.1%}"


def _label(one: Label) -> str:
    name = printable(one.label or "no label")
    return name if one.score is None else f"{name} ({one.score:.2f})"
