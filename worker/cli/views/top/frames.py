"""A frame of `guardstream top`: the layout of the panes in the available space."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from worker.cli.views.top import heads, panes
from worker.cli.views.top.pieces import FAINT, Pane
from worker.operator.top.loads import Flow
from worker.operator.top.view import View

# with fewer lines, panes have no borders
_BOXED_FROM = 34
# of a band, if the height is not limited
_MOST_LINES = 13
_GUTTER = 2


@dataclass(frozen=True, slots=True)
class FrameTime:
    """The current time, as monotonic seconds (like scrapes) and as Unix seconds."""

    monotonic: float
    unix: float


def frame(
    view: View, flows: Sequence[Flow], now: FrameTime, *, width: int, height: int | None = None
) -> tuple[Layout, int]:
    """The frame and its height; without `height`, all panes have the lines they want."""
    head = heads.head(view)
    bands = _bands(view, flows, now)
    boxed = height is None or height >= _BOXED_FROM
    border = 2 if boxed else 1
    lines = share_out(
        None if height is None else height - len(head),
        [border + max(pane.least for pane in band) for band in bands],
        [border + max(pane.wanted for pane in band) for band in bands],
    )
    rows = [Layout(Group(*head), size=len(head))]
    for band, given in zip(bands, lines, strict=True):
        if given:
            row = Layout(size=given)
            inside = width // len(band) - (4 if boxed else _GUTTER)
            framed = [_framed(pane, given - border, inside, boxed=boxed) for pane in band]
            if not boxed:
                # space instead of borders
                framed[:-1] = [Padding(one, (0, _GUTTER, 0, 0)) for one in framed[:-1]]
            row.split_row(*map(Layout, framed))
            rows.append(row)
    used = len(head) + sum(lines)
    if height is not None and used < height:
        rows.append(Layout(Text(" "), size=height - used))
    complete = Layout()
    complete.split_column(*rows)
    return complete, height or used


def share_out(available: int | None, least: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """The lines of each band: all that it wants, or fewer; the last bands may get none."""
    if available is None:
        return [min(lines, _MOST_LINES) for lines in wanted]
    given: list[int] = []
    for lines in least:
        given.append(lines if sum(given) + lines <= available else 0)
    while hungry := [n for n, lines in enumerate(given) if 0 < lines < wanted[n]]:
        left = available - sum(given)
        if not left:
            break
        for n in hungry[:left]:
            given[n] += 1
    return given


def _bands(view: View, flows: Sequence[Flow], now: FrameTime) -> list[tuple[Pane, ...]]:
    """The rows of panes, from the top."""
    bands: list[tuple[Pane, ...]] = [(heads.workers(view),)] if len(view.workers) > 1 else []
    if view.load is None:
        return bands
    return [
        *bands,
        (panes.keeping_up(view.load, flows, now.monotonic), panes.engine(view.load)),
        (panes.stages(view), panes.verdicts(view)),
        (panes.partitions(view), panes.dead_letters(view)),
        (panes.last_verdicts(view, now.unix),),
    ]


def _framed(pane: Pane, lines: int, width: int, *, boxed: bool) -> RenderableType:
    body = pane.body(lines, width)
    title = Text(pane.title, "bold not dim")
    if boxed:
        return Panel(body, title=title, title_align="left", border_style=FAINT)
    return Group(Rule(title, align="left", style=FAINT), body)
