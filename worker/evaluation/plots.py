"""The report's plots, as SVG that stands in the page."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from worker.evaluation.markup import Markup, join, tag
from worker.evaluation.resampling import Estimate

_INK, _GREY, _RULE = "#1f2328", "#59636e", "#d1d9e0"
_BLUE = "#0969da"
_RIGHT, _WRONG, _UNREADABLE = (31, 136, 61), (188, 76, 0), (110, 119, 129)
_ROW, _LABEL, _AXIS, _NOTE = 30, 170, 330, 200
_MAX_LABEL = 24


class Dot(NamedTuple):
    """A figure with its interval, and what stands beside it."""

    label: str
    estimate: Estimate
    note: str


def dots(rows: Sequence[Dot], title: str, *, signed: bool = False) -> Markup:
    """Figures as dots, their intervals as lines, on one axis."""
    low, high = _range(rows, signed=signed)
    height, width = _ROW * len(rows) + 34, _LABEL + _AXIS + _NOTE

    def x(value: float) -> float:
        return round(_LABEL + _AXIS * (value - low) / (high - low), 1)

    parts: list[Markup] = []
    bottom = _ROW * len(rows) + 6
    for tick in _ticks(low, high):
        stroke = _GREY if signed and not tick else _RULE
        parts.append(_line(x(tick), 4, x(tick), bottom, stroke))
        text = f"{tick:+.2g}" if signed and tick else f"{tick:.2g}"
        parts.append(_text(x(tick), bottom + 16, text, anchor="middle", fill=_GREY))
    for at, row in enumerate(rows):
        y = _ROW * at + 20
        value, first, last = row.estimate.value, row.estimate.low, row.estimate.high
        parts.append(_text(_LABEL - 10, y + 4, _short(row.label), anchor="end"))
        parts.append(_text(_LABEL + _AXIS + 14, y + 4, row.note, fill=_GREY))
        if value is None or first is None or last is None:
            continue
        parts.append(_line(x(first), y, x(last), y, _BLUE, 2.5))
        parts += [_line(x(end), y - 5, x(end), y + 5, _BLUE, 1.5) for end in (first, last)]
        parts.append(tag("circle", cx=x(value), cy=y, r=5, fill=_BLUE))
    return _drawing(width, height, title, parts)


def confusion(counts: Mapping[str, Mapping[str, int]], title: str) -> Markup:
    """How often each was said of each; the shade is the share of the true label's rows."""
    cell_width, cell_height, left, top = 84, 50, 92, 42
    said = list(next(iter(counts.values())))
    parts = [_text(left + 1.5 * cell_width, 14, "said", anchor="middle", fill=_GREY)]
    for column, name in enumerate(said):
        x = left + (column + 0.5) * cell_width
        parts.append(_text(x, 34, name, anchor="middle"))
    for row, (truth, line) in enumerate(counts.items()):
        y = top + row * cell_height
        total = sum(line.values())
        parts.append(_text(left - 8, y + cell_height / 2 + 4, truth, anchor="end"))
        for column, (name, count) in enumerate(line.items()):
            share = count / total if total else 0
            hue = _RIGHT if name == truth else _WRONG if name in counts else _UNREADABLE
            x = left + column * cell_width
            parts.append(_cell(x, y, (cell_width, cell_height), hue, share))
            middle = x + cell_width / 2
            ink = "#fff" if share > 0.6 else _INK
            parts.append(_text(middle, y + 23, f"{count:,}", anchor="middle", fill=ink, size=15))
            shown = f"{share:.1%}" if total else "-"
            parts.append(_text(middle, y + 40, shown, anchor="middle", fill=ink, size=11))
    width, height = left + len(said) * cell_width + 4, top + len(counts) * cell_height + 4
    return _drawing(width, height, title, parts)


def _range(rows: Sequence[Dot], *, signed: bool) -> tuple[float, float]:
    ends = [end for row in rows for end in (row.estimate.low, row.estimate.high) if end is not None]
    if signed:
        widest = max((abs(end) for end in ends), default=0.0)
        bound = max(0.05, math.ceil(widest * 20) / 20)
        return -bound, bound
    # dots need no zero, and intervals near 1 are worth a closer look
    return max(0.0, min(0.9, math.floor(min(ends, default=0.0) * 10) / 10)), 1.0


def _ticks(low: float, high: float) -> list[float]:
    step = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if (high - low) / step <= 6)
    first = math.ceil(low / step - 1e-9)
    return [round(step * n, 4) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _short(label: str) -> str:
    return label if len(label) <= _MAX_LABEL else f"{label[: _MAX_LABEL - 1]}…"


def _cell(
    x: float, y: float, size: tuple[float, float], hue: tuple[int, int, int], share: float
) -> Markup:
    # a light ground keeps an empty cell visible
    shade = 0.06 + 0.84 * share
    red, green, blue = (round(255 + (one - 255) * shade) for one in hue)
    return tag(
        "rect",
        x=x + 1,
        y=y + 1,
        width=size[0] - 2,
        height=size[1] - 2,
        rx=4,
        fill=f"rgb({red},{green},{blue})",
    )


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str, width: float = 1) -> Markup:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke, stroke_width=width)


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", fill: str = _INK, size: int = 13
) -> Markup:
    return tag("text", text, x=x, y=y, text_anchor=anchor, fill=fill, font_size=size)


def _drawing(width: float, height: float, title: str, parts: Sequence[Markup]) -> Markup:
    return tag(
        "svg",
        tag("title", title),
        join(list(parts)),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        width=f"{width:g}",
        height=f"{height:g}",
        role="img",
    )
