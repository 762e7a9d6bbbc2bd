"""The layout of the report's plots; `templates/plots.svg.j2` draws them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from worker.evaluation.intervals import Estimate

_ROW, _LABEL, _AXIS, _NOTE = 30, 170, 330, 200
_MAX_LABEL = 24
_CELL_WIDTH, _CELL_HEIGHT, _LEFT, _TOP = 84, 50, 92, 42
_SIDE, _CURVE_LEFT, _CURVE_TOP = 240, 48, 12
_COLOURS = ("#0969da", "#bc4c00", "#1f883d")
_RIGHT, _WRONG, _UNREADABLE = (31, 136, 61), (188, 76, 0), (110, 119, 129)


class Dot(NamedTuple):
    """A figure with its interval, and its note."""

    label: str
    estimate: Estimate
    note: str


class Tick(NamedTuple):
    """A line across the axis."""

    x: float
    label: str
    is_origin: bool


class Mark(NamedTuple):
    """A row of a dot plot: the dot and the ends of its interval, null without a figure."""

    y: int
    label: str
    note: str
    x: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class DotPlot:
    """Figures as dots, their intervals as lines, on one axis."""

    title: str
    width: int
    height: int
    bottom: int
    ticks: list[Tick]
    marks: list[Mark]
    label_x: int = _LABEL - 10
    note_x: int = _LABEL + _AXIS + 14


class Cell(NamedTuple):
    """A cell of a confusion matrix; the shade is the share of the true label's rows."""

    x: float
    y: float
    fill: str
    is_dark: bool
    number: str
    share: str


class Head(NamedTuple):
    """A label of a confusion matrix, at the middle of its column or row."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class ConfusionPlot:
    """A confusion matrix: true labels down, predictions across."""

    title: str
    width: int
    height: int
    columns: list[Head]
    rows: list[Head]
    cells: list[Cell]
    left: int = _LEFT
    cell_width: int = _CELL_WIDTH
    cell_height: int = _CELL_HEIGHT


class Point(NamedTuple):
    """A point of a curve, in the drawing."""

    x: float
    y: float


class Line(NamedTuple):
    """A curve with its name; `points` as SVG wants them."""

    label: str
    colour: str
    points: str
    dots: list[Point]


@dataclass(frozen=True, slots=True)
class CurvePlot:
    """Curves in the unit square."""

    title: str
    x_label: str
    y_label: str
    lines: list[Line]
    ticks: list[Tick]
    has_diagonal: bool
    width: int = _SIDE + _CURVE_LEFT + 16
    height: int = _SIDE + 66
    left: int = _CURVE_LEFT
    top: int = _CURVE_TOP
    side: int = _SIDE


def curve_plot(
    curves: Mapping[str, Sequence[tuple[float, float]]],
    title: str,
    *,
    x_label: str,
    y_label: str,
    has_diagonal: bool = False,
    has_dots: bool = False,
) -> CurvePlot:
    """Place curves of points between 0 and 1, by their names."""
    lines = []
    for (label, points), colour in zip(curves.items(), _COLOURS, strict=False):
        placed = [
            Point(round(_CURVE_LEFT + _SIDE * x, 1), round(_CURVE_TOP + _SIDE * (1 - y), 1))
            for x, y in points
        ]
        drawn = " ".join(f"{x},{y}" for x, y in placed)
        lines.append(Line(label, colour, drawn, placed if has_dots else []))
    ticks = [Tick(_SIDE * n / 4, f"{n / 4:g}", is_origin=False) for n in range(5)]
    return CurvePlot(title, x_label, y_label, lines, ticks, has_diagonal)


def dot_plot(dots: Sequence[Dot], title: str, *, signed: bool = False) -> DotPlot:
    """Place figures and intervals; `signed` centres the axis at zero."""
    low, high = _range(dots, signed=signed)

    def place(value: float | None) -> float | None:
        return None if value is None else x(value)

    def x(value: float) -> float:
        return round(_LABEL + _AXIS * (value - low) / (high - low), 1)

    return DotPlot(
        title,
        width=_LABEL + _AXIS + _NOTE,
        height=_ROW * len(dots) + 34,
        bottom=_ROW * len(dots) + 6,
        ticks=[
            Tick(x(tick), f"{tick:{'+' if signed and tick else ''}.2g}", signed and not tick)
            for tick in _ticks(low, high)
        ],
        marks=[
            Mark(
                _ROW * at + 20,
                _short(dot.label),
                dot.note,
                *map(place, (dot.estimate.value, dot.estimate.low, dot.estimate.high)),
            )
            for at, dot in enumerate(dots)
        ],
    )


def confusion_plot(counts: Mapping[str, Mapping[str, int]], title: str) -> ConfusionPlot:
    """Place the counts by true label, then by prediction."""
    predictions = list(next(iter(counts.values())))
    return ConfusionPlot(
        title,
        width=_LEFT + len(predictions) * _CELL_WIDTH + 4,
        height=_TOP + len(counts) * _CELL_HEIGHT + 4,
        columns=[
            Head(_LEFT + (at + 0.5) * _CELL_WIDTH, name) for at, name in enumerate(predictions)
        ],
        rows=[Head(_TOP + (at + 0.5) * _CELL_HEIGHT, name) for at, name in enumerate(counts)],
        cells=[
            _cell((row, column), count, sum(line.values()), _hue(truth, name, counts))
            for row, (truth, line) in enumerate(counts.items())
            for column, (name, count) in enumerate(line.items())
        ],
    )


def _hue(truth: str, predicted: str, labels: Mapping[str, object]) -> tuple[int, int, int]:
    if predicted == truth:
        return _RIGHT
    return _WRONG if predicted in labels else _UNREADABLE


def _cell(at: tuple[int, int], count: int, total: int, hue: tuple[int, int, int]) -> Cell:
    row, column = at
    share = count / total if total else 0
    # a light ground keeps an empty cell visible
    shade = 0.06 + 0.84 * share
    red, green, blue = (round(255 + (one - 255) * shade) for one in hue)
    return Cell(
        x=_LEFT + column * _CELL_WIDTH,
        y=_TOP + row * _CELL_HEIGHT,
        fill=f"rgb({red},{green},{blue})",
        is_dark=share > 0.6,
        number=f"{count:,}",
        share=f"{share:.1%}" if total else "-",
    )


def _range(dots: Sequence[Dot], *, signed: bool) -> tuple[float, float]:
    ends = [end for dot in dots for end in (dot.estimate.low, dot.estimate.high) if end is not None]
    if signed:
        widest = max((abs(end) for end in ends), default=0.0)
        bound = max(0.05, math.ceil(widest * 20) / 20)
        return -bound, bound
    # dots need no zero, and intervals near 1 deserve the room
    return max(0.0, min(0.9, math.floor(min(ends, default=0.0) * 10) / 10)), 1.0


def _ticks(low: float, high: float) -> list[float]:
    step = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if (high - low) / step <= 6)
    first = math.ceil(low / step - 1e-9)
    return [round(step * n, 4) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _short(label: str) -> str:
    return label if len(label) <= _MAX_LABEL else f"{label[: _MAX_LABEL - 1]}…"
