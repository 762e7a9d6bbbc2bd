"""Untrusted text on a terminal: escaped, and behind a bar in every line."""

from collections import Counter
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from worker.domain.escaping import printable
from worker.domain.guard import CompletionSpan

_MARKS = {"label": "bold reverse", "flag": "yellow reverse", "conclusion": "bold", "step": ""}
_INNER = ("label", "flag")


class Quoted:
    """Untrusted text: behind a bar, each row with a name where it has one."""

    def __init__(self, rows: Iterable[tuple[str, Text]]) -> None:
        self._rows: list[tuple[str, Text]] = []
        for name, text in rows:
            first, *others = text.split(allow_blank=True)
            self._rows += [(name, first), *(("", line) for line in others)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Wrapped on a terminal; elsewhere one line for each line of the text."""
        wide = max((len(name) for name, _ in self._rows), default=0)
        room = max(options.max_width - wide - 5, 20)
        for name, line in self._rows:
            pieces = line.wrap(console, room, overflow="fold") if console.is_terminal else [line]
            for at, piece in enumerate(pieces):
                yield Text.assemble((f"  {'' if at else name:<{wide}} │ ", "dim"), piece)


def quoted_completion(completion: str, spans: Iterable[CompletionSpan], *, plain: bool) -> Quoted:
    """A completion with its spans marked, by colours or, if plain, by guillemets."""
    given = list(spans)
    opened: Counter[tuple[int, str]] = Counter((mark.start, mark.kind) for mark in given)
    closed: Counter[tuple[int, str]] = Counter((mark.end, mark.kind) for mark in given)
    edges = sorted({at for mark in given for at in (mark.start, mark.end)}, reverse=True)
    # how many spans of a kind cover the current position; one pass over text and spans
    over: Counter[str] = Counter()
    rows, start = [], 0
    for text in completion.split("\n"):
        end = start + len(text)
        line, seen, low = Text(), set[str](), start
        while low < end:
            while edges and edges[-1] <= low:
                edge = edges.pop()
                for kind in _MARKS:
                    over[kind] += opened[edge, kind] - closed[edge, kind]
            high = min(edges[-1], end) if edges else end
            kinds = [kind for kind in _MARKS if over[kind]]
            seen.update(kinds)
            open_, close = "", ""
            if plain:
                open_ = "«" * sum(opened[low, kind] for kind in _INNER)
                close = "»" * sum(closed[high, kind] for kind in _INNER)
            style = _MARKS[kinds[0]] if kinds else "dim"
            line.append(f"{open_}{printable(completion[low:high])}{close}", style)
            low = high
        rows.append((next((kind for kind in _MARKS if kind in seen), ""), line))
        start = end + 1
    return Quoted(rows)


def untrusted(text: str, style: str = "") -> Text:
    """Untrusted text, each line escaped."""
    return Text("\n".join(map(printable, text.split("\n"))), style)
