"""PromQL, generated from metrics, so that every name and label exists."""

import re
from dataclasses import dataclass

from worker.telemetry.metric import Kind, Metric, label_name

# labels that Prometheus adds to every series of a worker
WORKER = ("namespace", "job", "instance")
GROUP = ("namespace", "job")


@dataclass(frozen=True, slots=True)
class Scope:
    """The workers that an expression covers, and the window of its rates.

    Conditions (`where`) are written as in PromQL: `outcome="verdict"`.
    """

    workers: tuple[str, ...] = ()
    window: str = "5m"

    def select(self, metric: Metric, *where: str, part: str = "") -> str:
        """A metric's series; `part` of a histogram: `bucket`, `count` or `sum`."""
        for condition in where:
            _check(metric, re.split("[=!]", condition)[0])
        (name,) = [name for name in metric.series if name.endswith(part)]
        conditions = ",".join((*where, *self.workers))
        return f"{name}{{{conditions}}}" if conditions else name

    def rate(self, metric: Metric, *where: str, by: tuple[str, ...] = (), part: str = "") -> str:
        """How fast a counter or a part of a histogram grows, per second."""
        return total(self._rate(metric, *where, part=part), _labels(metric, by))

    def level(self, metric: Metric, *where: str, by: tuple[str, ...] = (), how: str = "sum") -> str:
        """A gauge over several series."""
        return total(self.select(metric, *where), _labels(metric, by), how)

    def mean(self, metric: Metric, *where: str, by: tuple[str, ...] = ()) -> str:
        """The mean of a histogram."""
        return ratio(
            self.rate(metric, *where, by=by, part="sum"),
            self.rate(metric, *where, by=by, part="count"),
        )

    def quantile(
        self, quantile: float, metric: Metric, *where: str, by: tuple[str, ...] = ()
    ) -> str:
        """An estimate from a histogram's buckets."""
        rate = self._rate(metric, *where, part="bucket")
        return f"histogram_quantile({quantile}, {total(rate, (*_labels(metric, by), 'le'))})"

    def _rate(self, metric: Metric, *where: str, part: str) -> str:
        if metric.kind is Kind.GAUGE:
            raise TypeError(f"{metric.name} is a gauge: it has no rate.")
        return f"rate({self.select(metric, *where, part=part)}[{self.window}])"


def total(expression: str, by: tuple[str, ...] = (), how: str = "sum") -> str:
    """One series for each value of the labels."""
    grouping = f" by ({', '.join(by)}) " if by else ""
    return f"{how}{grouping}({expression})"


def ratio(part: str, whole: str) -> str:
    """A share, or an amount per unit."""
    return f"{part} / {whole}"


_STRING = re.compile(r'"(?:\\.|[^"\\])*"' + r"|'(?:\\.|[^'\\])*'|`[^`]*`")
_CONDITIONS = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]")
_LABELS = re.compile(
    r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)", re.IGNORECASE
)
_NAME = re.compile(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?![\w:]|\s*\()")
_WORDS = {"and", "or", "unless", "offset", "bool", "inf", "nan", "group_left", "group_right"}


def series_in(expression: str) -> set[str]:
    """The names of the series an expression reads."""
    for what in (_STRING, _CONDITIONS, _LABELS):
        expression = what.sub(" ", expression)
    return {name for name in _NAME.findall(expression) if name.lower() not in _WORDS}


def _labels(metric: Metric, by: tuple[str, ...]) -> tuple[str, ...]:
    for name in by:
        _check(metric, label_name(name))
    return tuple(label_name(name) for name in by)


def _check(metric: Metric, name: str) -> None:
    if name not in (*metric.labels, *WORKER):
        raise ValueError(f"{metric.name} has no label {name}.")
