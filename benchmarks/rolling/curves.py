"""What a rehearsal's records say: lag, ages and rates over time, and the figures out of them."""

from bisect import bisect_right
from collections import Counter
from itertools import pairwise
from typing import Any

from benchmarks.rolling.rehearsal import Story
from tests.chaos.oracle import EXPECTED

Curve = list[tuple[float, float]]
_STEP_SECONDS = 0.5


def lag(story: Story) -> Curve:
    """Records that wait for their outcome at each moment, by the timestamps in the topics."""
    came = sorted(one.at for one in story.given if EXPECTED[one.kind] is not None)
    went = sorted(one.at for one in story.found)
    start, end = came[0], max(went)
    moments = [start + _STEP_SECONDS * n for n in range(int((end - start) / _STEP_SECONDS) + 2)]
    return [(at, bisect_right(came, at) - bisect_right(went, at)) for at in moments]


def ages(story: Story) -> Curve:
    """How old each record was when its outcome was written, by when that was."""
    came = {(one.partition, one.offset): one.at for one in story.given}
    return sorted((one.at, one.at - came[one.partition, one.offset]) for one in story.found)


def by_version(story: Story) -> dict[str, list[float]]:
    """When verdicts were written, by the version that judged."""
    found: dict[str, list[float]] = {"old": [], "new": []}
    for one in story.found:
        if not one.error:
            found[story.versions[one.partition, one.offset]].append(one.at)
    return found


def percentile(values: list[float], share: float) -> float:
    """The value that a share of them does not exceed."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def figures(story: Story) -> dict[str, Any]:
    """What the rehearsal showed, for programs."""
    times = Counter((one.partition, one.offset) for one in story.found)
    wanted = {(one.partition, one.offset) for one in story.given if EXPECTED[one.kind] is not None}
    replaced = [stay for stay in story.stays if stay.asked_at and stay.ended_at]
    first, last = replaced[0].asked_at, max(stay.ready_at for stay in story.stays)
    old = ages(story)
    before = [age for at, age in old if at < first]
    during = [age for at, age in old if first <= at <= last]
    written = [at for at, _ in old if at <= story.fed[1]]
    return {
        "guarantee": story.script.guarantee,
        "records": len(story.given),
        "tombstones": len(story.given) - len(wanted),
        "outcomes": len(story.found),
        "lost": len(wanted - times.keys()),
        "repeated": sum(count - 1 for count in times.values()),
        "broken": [f"{one.kind}: {one.what}" for one in story.broken],
        "verdicts_by_version": {name: len(at) for name, at in by_version(story).items()},
        "stop_seconds": [round(stay.ended_at - stay.asked_at, 2) for stay in replaced],
        "start_seconds": [round(s.ready_at - s.started_at, 2) for s in story.stays],
        "longest_silence_seconds": round(max(b - a for a, b in pairwise(written)), 2),
        "most_lag": round(max(count for _, count in lag(story))),
        "age_p50_before_seconds": round(percentile(before, 0.5), 2),
        "age_p99_before_seconds": round(percentile(before, 0.99), 2),
        "age_p99_during_seconds": round(percentile(during, 0.99), 2),
        "age_most_seconds": round(max(during), 2),
    }
