"""Short texts and bars for numbers."""

import math
from collections.abc import Sequence

UNKNOWN = "-"
_CELLS = " ▁▂▃▄▅▆▇█"
_SPANS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))


def count(value: float | None) -> str:
    """A whole number: `12,345`, `123k`, `4.5M`."""
    if value is None:
        return UNKNOWN
    if abs(value) < 99_999.5:
        return f"{round(value):,}"
    return _scaled(value)


def rate(value: float | None) -> str:
    """A number per second: `0.31/s`, `31/s`, `12.3k/s`."""
    if value is None:
        return f"{UNKNOWN}/s"
    if value < 9.995:
        return f"{value:.2g}/s" if value else "0/s"
    if value < 9999.5:
        return f"{value:,.0f}/s"
    return f"{_scaled(value)}/s"


def share(value: float | None) -> str:
    """A share: `0.4 %`, `61 %`."""
    if value is None:
        return f"{UNKNOWN} %"
    percent = 100 * value
    return f"{percent:.1f} %" if 0 < percent < 0.95 else f"{percent:.0f} %"


def duration(seconds: float | None) -> str:
    """A time: `4ms`, `8.2s`, `8m20s`, `2h3m`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < 59.5:
        return f"{seconds:.0f}s"
    for size, unit, small, small_unit in _SPANS:
        if round(seconds / small) * small >= size:
            large, rest = divmod(round(seconds / small), size // small)
            return f"{large:,}{unit}{rest}{small_unit}" if rest else f"{large:,}{unit}"
    return f"{seconds:.0f}s"


def up_to(seconds: float | None, highest: float | None) -> str:
    """The time of a percentile; `>2m` above the highest bucket of the histogram."""
    text = duration(seconds)
    return f">{text}" if seconds is not None and seconds == highest else text


def bar(parts: Sequence[float], width: int, glyphs: str) -> list[str]:
    """Shares of one next to each other, each with its glyph, in at most `width` cells."""
    ends = [round(width * min(1.0, sum(parts[: n + 1]))) for n in range(len(parts))]
    begins = [0, *ends]
    return [glyph * (end - begin) for glyph, begin, end in zip(glyphs, begins, ends, strict=False)]


def sparkline(points: Sequence[tuple[float, float]], now: float, seconds: float, width: int) -> str:
    """The values of the last `seconds` as `width` cells, the newest at the right.

    The times of a cell are fixed, so that the drawing moves without flickering.
    """
    cell_seconds = seconds / max(1, width)
    newest = math.floor(now / cell_seconds)
    cells: dict[int, list[float]] = {}
    for at, value in points:
        cells.setdefault(math.floor(at / cell_seconds), []).append(value)
    means = {cell: sum(values) / len(values) for cell, values in cells.items()}
    shown: list[float | None] = []
    last = None
    for cell in range(max(newest - width + 1, min(means, default=newest)), newest + 1):
        last = means.get(cell, last)
        shown.append(last)
    top = max((value for value in shown if value), default=1.0)
    drawn = "".join(" " if v is None else _CELLS[1 + round(7 * max(0.0, v) / top)] for v in shown)
    return drawn.rjust(width)


def _scaled(value: float) -> str:
    for size, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= 0.9995 * size:
            return f"{_three(value / size)}{letter}"
    return f"{_three(value / 1e3)}k"


def _three(value: float) -> str:
    return f"{value:.1f}" if abs(value) < 99.95 else f"{value:,.0f}"
