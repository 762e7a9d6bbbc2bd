"""The dashboard as one picture, without Grafana: it runs the queries on Prometheus and draws them.

`python -m monitoring.picture http://localhost:9090 --start 30m --output docs/dashboard.png`
"""

import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode
from urllib.request import urlopen

import matplotlib as mpl
import typer
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from PIL import Image

from monitoring.__main__ import DOCS
from monitoring.dashboard import build
from monitoring.grafana import COLUMNS, Json
from worker.cli.times import parse_time_ms
from worker.domain.questions import STANDARD_TASKS

POINTS = 240
LEGENDS = 6
INCHES = (0.75, 0.34)  # of a column, of a row, as Grafana's grid counts them
GREY = "#6e7781"
STATES = {"green": "#2da44e", "red": "#cf222e", "blue": "#218bff", "transparent": "#eaeef2"}


class Line(NamedTuple):
    """A series: its legend, and its values over time."""

    legend: str
    times: list[datetime]
    values: list[float]


def main(
    prometheus: Annotated[str, typer.Argument(help="Its address, as http://localhost:9090.")],
    start: Annotated[str, typer.Option(help="RFC 3339, or how long ago.")] = "30m",
    end: Annotated[str, typer.Option(help="RFC 3339, or how long ago.")] = "0s",
    job: Annotated[str, typer.Option(help="The workers' job, a regular expression.")] = ".*",
    window: Annotated[str, typer.Option(help="Of rates: four scrapes or more.")] = "1m",
    output: Annotated[Path, typer.Option(help="A PNG.")] = Path("dashboard.png"),
) -> None:
    """Draw the dashboard's panels in their order."""
    now = datetime.now(UTC)
    times = (parse_time_ms(start, now=now) / 1000, parse_time_ms(end, now=now) / 1000)
    chosen = {"namespace": ".*", "job": job, "instance": ".*", "__rate_interval": window}
    panels = [one for panel in build(DOCS)["panels"] for one in expand(panel)]
    drawn = [(panel, list(_ask(prometheus, panel, chosen, times))) for panel in panels]
    mpl.rc("font", size=7)
    span = (datetime.fromtimestamp(times[0], UTC), datetime.fromtimestamp(times[1], UTC))
    drawing = BytesIO()
    draw(drawn, span).savefig(drawing, format="png", dpi=80)
    # lines on white need few colours: a third of the bytes
    Image.open(drawing).convert("RGB").quantize(128).save(output, optimize=True)
    for title in (panel["title"] for panel, lines in drawn if panel["type"] != "row" and not lines):
        typer.echo(f"no data: {title}", err=True)


def expand(panel: Json) -> Iterator[Json]:
    """A panel that is repeated for each question, as Grafana lays it out for the standard ones."""
    if "repeat" not in panel:
        yield panel
        return
    width = COLUMNS // panel["maxPerRow"]
    for number, task in enumerate(STANDARD_TASKS):
        targets = [
            {**target, "expr": target["expr"].replace("$task", task)} for target in panel["targets"]
        ]
        place = {**panel["gridPos"], "w": width, "x": width * number}
        yield {**panel, "title": task, "targets": targets, "gridPos": place}


def draw(panels: list[tuple[Json, list[Line]]], span: tuple[datetime, datetime]) -> Figure:
    """Each panel where the dashboard's grid has it."""
    rows = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p, _ in panels)
    width, height = COLUMNS * INCHES[0], rows * INCHES[1]
    figure = Figure(figsize=(width, height), facecolor="white")
    for panel, lines in panels:
        place = panel["gridPos"]
        left, top = place["x"] / COLUMNS, 1 - place["y"] / rows
        if panel["type"] == "row":
            y = top - 0.8 * place["h"] / rows
            figure.text(0.4 / width, y, panel["title"], fontsize=11, fontweight="bold")
            continue
        margins = (0.45 / width, 0.32 / height)
        axes = figure.add_axes(
            (
                left + margins[0],
                top - place["h"] / rows + margins[1],
                place["w"] / COLUMNS - 1.3 * margins[0],
                place["h"] / rows - 2.2 * margins[1],
            )
        )
        axes.set_title(panel["title"], loc="left", fontsize=8)
        _DRAWN[panel["type"]](axes, panel, lines)
        if panel["type"] in _OVER_TIME:
            _date(axes, span)
    return figure


def lines_in(answer: Json, legend: str) -> Iterator[Line]:
    """The series of a response of `/api/v1/query_range`; a value that is not a number is a gap."""
    for series in answer["data"]["result"]:
        labels = series["metric"]
        name = re.sub(r"\{\{(\w+)\}\}", lambda found, of=labels: of.get(found[1], ""), legend)
        if not legend:
            name = ", ".join(value for _, value in sorted(labels.items()) if value)
        moments = [datetime.fromtimestamp(time, UTC) for time, _ in series["values"]]
        values = [float(value) for _, value in series["values"]]
        finite = [value if math.isfinite(value) else math.nan for value in values]
        yield Line(name.strip(), moments, finite)


def _ask(
    prometheus: str, panel: Json, chosen: dict[str, str], times: tuple[float, float]
) -> Iterator[Line]:
    start, end = times
    for target in panel.get("targets", ()):
        query = re.sub(r"\$(\w+)", lambda found: chosen[found[1]], target["expr"])
        step = max((end - start) / POINTS, 1.0)
        asked = urlencode({"query": query, "start": start, "end": end, "step": step})
        url = f"{prometheus.rstrip('/')}/api/v1/query_range?{asked}"
        with urlopen(url, timeout=30) as answer:  # noqa: S310 - the caller's own Prometheus
            yield from lines_in(json.load(answer), target["legendFormat"])


def _draw_lines(axes: Axes, panel: Json, lines: list[Line]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    unit = defaults["unit"]
    lines = [line for line in lines if any(map(math.isfinite, line.values))]
    axes.grid(color="#eaeef2", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    if defaults["custom"]["stacking"]["mode"] == "normal" and lines:
        moments = sorted({moment for line in lines for moment in line.times})
        found = [dict(zip(line.times, line.values, strict=True)) for line in lines]
        heights = [[_number(values.get(moment)) for moment in moments] for values in found]
        axes.stackplot(moments, heights, labels=[line.legend for line in lines], alpha=0.7)
    else:
        for line in lines:
            axes.plot(line.times, line.values, linewidth=1, label=line.legend)
    axes.set_ylim(0, defaults.get("max") or 1.1 * axes.get_ylim()[1])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value, unit)))
    if not lines:
        axes.text(0.5, 0.5, "no data", color=GREY, ha="center", transform=axes.transAxes)
    elif len(lines) <= LEGENDS:
        axes.legend(fontsize=6, frameon=False, loc="upper left", ncols=2)


def _draw_figure(axes: Axes, panel: Json, lines: list[Line]) -> None:
    axes.set_axis_off()
    unit = panel["fieldConfig"]["defaults"]["unit"]
    last = next((v for line in lines for v in reversed(line.values) if math.isfinite(v)), None)
    text = "no data" if last is None else written(last, unit)
    axes.text(0.5, 0.5, text, fontsize=18, ha="center", va="center", transform=axes.transAxes)


def _draw_states(axes: Axes, panel: Json, lines: list[Line]) -> None:
    mappings = panel["fieldConfig"]["defaults"]["mappings"]
    colors = {int(value): of["color"] for value, of in mappings[0]["options"].items()}
    for height, line in enumerate(lines):
        # a state lasts until the next value
        for (moment, later), value in zip(pairwise(line.times), line.values, strict=False):
            color = STATES[colors.get(int(_number(value)), "transparent")]
            axes.barh(height, later - moment, left=moment, height=0.7, color=color)
    axes.set_yticks(range(len(lines)), [line.legend for line in lines])
    axes.tick_params(axis="y", labelsize=6, pad=-2, direction="in")
    axes.set_yticklabels(axes.get_yticklabels(), ha="left")
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_table(axes: Axes, _: Json, lines: list[Line]) -> None:
    axes.set_axis_off()
    text = "\n".join(line.legend for line in lines) or "no data"
    axes.text(0, 1, text, va="top", transform=axes.transAxes)


_DRAWN: dict[str, Any] = {
    "timeseries": _draw_lines,
    "stat": _draw_figure,
    "state-timeline": _draw_states,
    "table": _draw_table,
}
_OVER_TIME = ("timeseries", "state-timeline")


def _date(axes: Axes, span: tuple[datetime, datetime]) -> None:
    axes.set_xlim(*span)
    locator = AutoDateLocator(maxticks=6)
    axes.xaxis_date("UTC")
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axes.tick_params(labelsize=6)


def _number(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else 0.0


def written(value: float, unit: str) -> str:
    """A value, formatted much like Grafana does."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if 0 < abs(value) < 1 else f"{value:.4g} s"
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {sign}" + ("B" if unit == "bytes" else "")
    return f"{value:.3g}"


if __name__ == "__main__":
    typer.run(main)
