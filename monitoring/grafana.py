"""The parts of a Grafana dashboard, as JSON."""

from collections.abc import Sequence
from typing import Any

from monitoring.promql import Scope

Json = dict[str, Any]

# the workers selected by the variables
SHOWN = Scope(
    ('namespace=~"$namespace"', 'job=~"$job"', 'instance=~"$instance"'), "$__rate_interval"
)
EACH = ("instance",)
RECORDS_PER_SECOND = "suffix: records/s"

# of Grafana 11; later versions migrate it on import
SCHEMA_VERSION = 39
COLUMNS = 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_CALM = ("green", None)
_WITHOUT_TIME = {
    "id": "organize",
    "options": {"excludeByName": {"Time": True, "Value": True}},
}


def panel(
    title: str,
    description: str,
    unit: str,
    queries: dict[str, str],
    *,
    kind: str = "timeseries",
    width: int = 8,
    limits: tuple[float, float] | None = None,
    states: dict[int, tuple[str, str]] | None = None,
    stacked: bool = False,
    **defaults: Any,
) -> Json:
    """One picture: `queries` is PromQL by legend, with `{{label}}` for a label's value.

    `unit` is Grafana's id of it. From the first of the `limits` on, a figure is yellow, from the
    second on red; where the first is larger, below them. `states` are text and colour of values.
    What else is named goes among the panel's field defaults.
    """
    custom: Json = {}
    options: Json = {}
    if kind == "timeseries":
        options = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
        custom = {
            "lineWidth": 1,
            "fillOpacity": 40 if stacked else 8,
            "showPoints": "never",
            "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        }
    elif kind == "stat":
        options = {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "background" if limits else "value",
            "graphMode": "area",
            "textMode": "auto",
        }
    elif kind == "state-timeline":
        options = {"showValue": "never", "mergeValues": True, "rowHeight": 0.8}
        custom = {"fillOpacity": 80, "lineWidth": 0}
    as_table = kind == "table"
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": _SOURCE,
        "gridPos": {"w": width, "h": 4 if kind == "stat" else 8, "x": 0, "y": 0},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "editorMode": "code",
                "range": not as_table,
                "instant": as_table,
                "format": "table" if as_table else "time_series",
            }
            for number, (legend, expression) in enumerate(queries.items())
        ],
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "min": 0,
                "custom": custom,
                "thresholds": {"mode": "absolute", "steps": _steps(limits)},
                "mappings": _mappings(states or {}),
                **defaults,
            },
            "overrides": [],
        },
        "options": options,
        "transformations": [_WITHOUT_TIME] if as_table else [],
    }


def repeated(panel: Json, *, over: str) -> Json:
    """A panel for each value of a variable, three in a row."""
    return {**panel, "repeat": over, "repeatDirection": "h", "maxPerRow": 3}


def row(title: str, *panels: Json) -> list[Json]:
    """Panels under a heading."""
    heading = {
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"w": COLUMNS, "h": 1, "x": 0, "y": 0},
        "panels": [],
    }
    return [heading, *panels]


def lay_out(rows: Sequence[list[Json]]) -> list[Json]:
    """The panels of all rows with positions and ids, left to right and top to bottom."""
    placed: list[Json] = []
    x = y = tallest = 0
    for item in (item for items in rows for item in items):
        width, height = item["gridPos"]["w"], item["gridPos"]["h"]
        if x + width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        place = {"w": width, "h": height, "x": x, "y": y}
        placed.append({"id": len(placed) + 1, **item, "gridPos": place})
        x, tallest = x + width, max(tallest, height)
    return placed


def variable(name: str, title: str, query: str, *, optional: bool = False) -> Json:
    """A variable for the values of a label; all by default.

    `optional`: series that lack the label are meant as well.
    """
    return {
        "type": "query",
        "name": name,
        "label": title,
        "datasource": _SOURCE,
        "query": {"query": query, "refId": "Values"},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*" if optional else None,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def source_variable() -> Json:
    """The variable for the Prometheus data source."""
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Prometheus",
        "query": "prometheus",
    }


def annotation(name: str, expression: str, text: str, color: str) -> Json:
    """Marks on every panel where the expression has a value."""
    return {
        "name": name,
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": color,
        "expr": expression,
        "step": "60s",
        "titleFormat": name,
        "textFormat": text,
    }


def link(title: str, tooltip: str, url: str) -> Json:
    """A link at the top."""
    return {
        "type": "link",
        "title": title,
        "tooltip": tooltip,
        "url": url,
        "icon": "doc",
        "targetBlank": True,
    }


def _steps(limits: tuple[float, float] | None) -> list[Json]:
    steps: list[tuple[str, float | None]] = [_CALM]
    if limits:
        yellow, red = limits
        if yellow <= red:
            steps = [_CALM, ("yellow", yellow), ("red", red)]
        else:
            steps = [("red", None), ("yellow", red), ("green", yellow)]
    return [{"color": color, "value": value} for color, value in steps]


def _mappings(states: dict[int, tuple[str, str]]) -> list[Json]:
    if not states:
        return []
    options = {
        str(value): {"text": text, "color": color, "index": index}
        for index, (value, (text, color)) in enumerate(states.items())
    }
    return [{"type": "value", "options": options}]
