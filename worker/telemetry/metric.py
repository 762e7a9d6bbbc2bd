"""What a metric is, and how its name is written on `/metrics`.

OpenTelemetry's compatibility rules apply: dots become underscores, the unit and `_total` follow.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Attributes:
        unit: in UCUM: seconds `s`, bytes `By`, a count of things `{thing}`.
        attributes: each has few values; never an id or text of an event.
        buckets: upper bounds of a histogram.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def base(self) -> str:
        """The name on `/metrics`, without the suffixes of a counter or histogram."""
        suffix = {"s": "_seconds", "By": "_bytes"}.get(self.unit, "")
        return self.name.replace(".", "_") + suffix

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the attributes on `/metrics`."""
        return tuple(label_name(attribute) for attribute in self.attributes)

    @property
    def series(self) -> tuple[str, ...]:
        """The names of the series on `/metrics`."""
        match self.kind:
            case Kind.COUNTER:
                return (f"{self.base}_total",)
            case Kind.GAUGE:
                return (self.base,)
            case Kind.HISTOGRAM:
                return tuple(f"{self.base}_{part}" for part in ("bucket", "count", "sum"))


def label_name(attribute: str) -> str:
    """The name of an attribute on `/metrics`."""
    return attribute.replace(".", "_")
