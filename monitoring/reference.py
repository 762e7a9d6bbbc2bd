"""The series that dashboard and rules read, and the table of metrics in docs/operations.md."""

import re
from collections.abc import Iterator

from monitoring import dashboard, rules
from monitoring.promql import series_in
from worker.telemetry.metric import Kind
from worker.telemetry.names import METRICS

_PLACE = re.compile(r"(<!-- make monitoring -->\n).*?(<!-- end -->)", re.DOTALL)
_VALUES = re.compile(r"label_values\((.+), \w+\)")


def shown() -> Iterator[tuple[str, str]]:
    """The dashboard's expressions, each with the panel or variable that uses it."""
    board = dashboard.build("")
    for choice in board["templating"]["list"]:
        if found := _VALUES.fullmatch(choice.get("definition", "")):
            yield choice["name"], found[1]
    for mark in board["annotations"]["list"]:
        yield mark["name"], mark["expr"]
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def ruled() -> Iterator[tuple[str, str]]:
    """The rules' expressions, each with its name."""
    yield from rules.recordings().items()
    for alert in rules.alerts():
        yield alert.name, alert.expression


def series_read() -> set[str]:
    """The series that workers and Prometheus must provide, without recorded ones."""
    named = {name for _, expression in (*shown(), *ruled()) for name in series_in(expression)}
    return named - rules.recordings().keys()


def table() -> str:
    """Every metric of a worker as on `/metrics`; a histogram without its three suffixes."""
    rows = ["| on `/metrics` | | labels | |", "|---|---|---|---|"]
    for metric in METRICS:
        name = metric.base if metric.kind is Kind.HISTOGRAM else metric.series[0]
        labels = ", ".join(f"`{name}`" for name in metric.labels)
        rows.append(f"| `{name}` | {metric.kind} | {labels} | {metric.description} |")
    return "\n".join(rows) + "\n"


def renewed(page: str) -> str:
    """The page with the current table."""
    return _PLACE.sub(lambda found: f"{found[1]}\n{table()}\n{found[2]}", page)
