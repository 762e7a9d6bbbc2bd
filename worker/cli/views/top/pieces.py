"""The parts of panes."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worker.domain.escaping import printable

BAD, GOOD, UNSURE, FAINT, NAME, DRAWN = "bold red", "green", "yellow", "dim", "cyan", "blue"
_MAX_TEXT = 100


@dataclass(frozen=True, slots=True)
class Pane:
    """A part of the frame.

    Attributes:
        least, wanted: lines, without the title.
        body: draws the pane for a number of lines and columns.
    """

    title: str
    least: int
    wanted: int
    body: Callable[[int, int], RenderableType]


def shown(text: str) -> str:
    """Untrusted text, escaped and truncated."""
    return printable(text[:_MAX_TEXT])


def one_line(text: Text) -> Text:
    """The text, truncated at the end of the line."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def fact(name: str, value: str, drawn: str = "") -> Text:
    """A line of a name, its value, and a drawing."""
    line = Text.assemble((f"{name:<8}", NAME), value)
    return one_line(line.append(f" {drawn}", DRAWN) if drawn else line)


def lines_of(*lines: Text) -> RenderableType:
    """Several lines."""
    return Group(*lines)


def table_of(*columns: tuple[str, int]) -> Table:
    """A table of columns with widths: negative to align right, 0 to fill the rest."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=True, header_style=FAINT)
    for name, width in columns:
        table.add_column(
            name,
            width=abs(width) or None,
            ratio=None if width else 1,
            justify="right" if width < 0 else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    return table


def add_row(table: Table, *cells: str | Text) -> None:
    """Add a row; a bare string is text, never markup."""
    table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))
