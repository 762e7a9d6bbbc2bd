"""What measurements say: stages of a run, points of a curve, and what memory does over events."""

import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks.figures import ratios

Trials = Sequence[Mapping[str, Any]]
Points = dict[int, list[float]]
"""By the size of what grows: a figure of each round."""

# a newcomer's first verdicts are not its share: the group may still be sharing out
SETTLING_SECONDS = 2.0
_WARM_UP = 0.1


class Unmeasured(Exception):  # noqa: N818 - what was to be seen did not happen
    """A run was too short to say anything, or something did not happen in it."""


@dataclass(frozen=True, slots=True)
class Stage:
    """So many workers at work together; moments in Unix seconds.

    Attributes:
        start: two seconds after the first verdict of the last of them.
        joining_seconds: of each newcomer, from its process's start to its first verdict.
        silence_seconds: the longest without a verdict of anybody, while newcomers joined.
    """

    workers: int
    start: float
    end: float
    events_per_second: float
    joining_seconds: list[float]
    silence_seconds: float


def stages(
    written: Mapping[str, Sequence[float]], started: Mapping[str, float], ends: Sequence[float]
) -> list[Stage]:
    """The stages that end at these moments; workers started before take part.

    Args:
        written: the moments of each worker's verdicts, in order.
        started: when each worker's process was.
        ends: of the stages, in order.
    """
    every = sorted(moment for moments in written.values() for moment in moments)
    found = []
    for before, end in pairwise([min(started.values()), *ends]):
        there = [who for who, at in started.items() if at < end]
        new = [who for who in there if started[who] >= before]
        start = max(written[who][0] for who in new) + SETTLING_SECONDS
        joining = every[bisect_left(every, before) : bisect_left(every, start)]
        found.append(
            Stage(
                len(there),
                start,
                end,
                (bisect_left(every, end) - bisect_left(every, start)) / (end - start),
                [written[who][0] - started[who] for who in new],
                max((b - a for a, b in pairwise(joining)), default=0.0),
            )
        )
    return found


def efficiencies(found: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Of each stage of a run: its events a second, to those of the first times its workers."""
    alone = found[0]["events_per_second"] / found[0]["workers"]
    return {
        stage["workers"]: stage["events_per_second"] / (alone * stage["workers"]) for stage in found
    }


def cpu_us(trials: Trials, curve: str, guarantee: str) -> Points:
    """CPU µs an event at each point of a curve."""
    return _points(trials, curve, guarantee, lambda t: t["cpu_seconds"] / t["judged"] * 1e6)


def rates(trials: Trials, curve: str, guarantee: str) -> Points:
    """Events a second at each point of a curve."""
    return _points(trials, curve, guarantee, lambda t: t["events"] / t["seconds"])


def most_mib(trials: Trials, curve: str, guarantee: str) -> Points:
    """Resident MiB at most at each point of a curve."""
    return _points(trials, curve, guarantee, lambda t: t["most_bytes"] / 2**20)


def _points(
    trials: Trials, curve: str, guarantee: str, read: Callable[[Mapping[str, Any]], float]
) -> Points:
    points: Points = {}
    for trial in sorted(trials, key=lambda t: (t["size"], t["round"])):
        if (trial["curve"], trial["guarantee"]) == (curve, guarantee):
            points.setdefault(trial["size"], []).append(read(trial))
    return points


def to_smallest(points: Points) -> Points:
    """Each point as a ratio to that of the smallest size, round by round."""
    smallest = points[min(points)]
    return {size: ratios(values, smallest) for size, values in points.items()}


def over_events(
    progress: Sequence[tuple[float, int]], resident: Sequence[tuple[float, int]]
) -> list[tuple[int, float]]:
    """Events and MiB: each reading of (Unix seconds, bytes) with the progress last known then."""
    moments = [at for at, _ in progress]
    known = [(bisect_right(moments, at) - 1, size) for at, size in resident]
    return [(progress[n][1], size / 2**20) for n, size in known if n >= 0]


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a worker over the events that it has settled, in MiB.

    Attributes:
        warm: when a tenth of the events were.
        last: when all were.
        most: at any time.
        growth: per million events after the first tenth, by the straight line that fits best.
    """

    warm: float
    last: float
    most: float
    growth: float


def memory(curve: Sequence[tuple[int, float]]) -> Memory:
    """The summary of a curve of (events, MiB); events in order.

    Raises:
        Unmeasured: it has fewer than two points after the first tenth.
    """
    later = [(events, mib) for events, mib in curve if events >= _WARM_UP * curve[-1][0]]
    if len({events for events, _ in later}) < 2:
        raise Unmeasured("Memory was read less than twice; push more events.")
    slope, _ = statistics.linear_regression(*zip(*later, strict=True))
    return Memory(later[0][1], later[-1][1], max(mib for _, mib in curve), slope * 1e6)
