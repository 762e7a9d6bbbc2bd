"""What the outcomes of a trial say: how fast, at what CPU, and whether all are there."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from benchmarks.processes import Meter, ProcessFailed

_WARM_UP = 0.2


@dataclass(frozen=True, slots=True)
class Input:
    """A topic that holds events 0 to `events` - 1, each under its number as the key."""

    topic: str
    events: int
    partitions: int
    value_bytes: int


class Outcome(NamedTuple):
    """The key under which an outcome came out, and when the broker had it, Unix seconds."""

    key: bytes | None
    at: float


def figures_of(
    meters: Sequence[Meter], outcomes: Sequence[Outcome], source: Input
) -> dict[str, Any]:
    """Rate and CPU after the warm-up, and what is lost, repeated or was never asked for.

    `meters` are of the endpoint, if there is one, and of the contender.

    Raises:
        ProcessFailed: there are too few outcomes to say how fast they came.
    """
    moments = sorted(outcome.at for outcome in outcomes)
    start, end = moments[int(len(moments) * _WARM_UP)], moments[-1]
    # outcomes that were appended together with the first were worked on before it
    counted = sum(moment > start for moment in moments)
    if not counted:
        raise ProcessFailed("All outcomes came in one millisecond; take more events.")
    cpu = [meter.cpu_seconds(start, end) / counted * 1e6 for meter in meters]
    times = Counter(outcome.key for outcome in outcomes)
    expected = {b"%d" % number for number in range(source.events)}
    endpoint = {"endpoint_cpu_us_per_event": cpu[0]} if len(cpu) > 1 else {}
    return endpoint | {
        "partitions": source.partitions,
        "value_bytes": source.value_bytes,
        "events": source.events,
        "events_per_second": counted / (end - start),
        "cpu_us_per_event": cpu[-1],
        "lost": len(expected - times.keys()),
        "repeated": sum(count - 1 for count in times.values()),
        "unknown": len(times.keys() - expected),
    }
