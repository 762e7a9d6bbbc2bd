"""The cost of each processing step: in time, and in instructions, which do not vary."""

import gc
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import spread, table
from benchmarks.micro.baseline import MAX_GROWTH
from benchmarks.micro.counting import NoCountsError, count_instructions
from benchmarks.micro.operations import (
    EVENTS,
    INTERPRETER,
    MAPPED,
    OPERATIONS,
    STEPS,
    mapped_name,
    unmapped_name,
)

TITLE = "Cost of each step"
_ROUNDS = 15


def measure(*, quick: bool) -> dict[str, Any]:
    """Microseconds of CPU per event, all operations in turn in each round, and instructions."""
    calls = {name: operation.make() for name, operation in OPERATIONS.items()}
    microseconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(3 if quick else _ROUNDS + 1):
        for name, call in calls.items():
            gc.collect()
            began = time.process_time()
            call()
            if number:  # the first round warms up
                microseconds[name].append((time.process_time() - began) / EVENTS * 1e6)
    print(f"  {len(microseconds)} operations timed")
    try:
        counts = [count_instructions() for _ in range(1 if quick else 2)]
    except NoCountsError as error:
        print(f"  {error}")
        counts = []
    else:
        print(f"  instructions counted, {len(counts)} times")
    return {"events": EVENTS, "microseconds": microseconds, "instructions": counts}


def section(figures: dict[str, Any], pictures: Path) -> str:  # noqa: ARG001 - draws none
    """A row for each step, and its share of the full path; then the presets."""
    microseconds, counts = figures["microseconds"], figures["instructions"]
    rows = []
    for operation in STEPS:
        name = operation.name
        if name == INTERPRETER:
            continue
        share = statistics.median(microseconds[name]) / statistics.median(microseconds["way"])
        counted = f"{statistics.median(c[name] for c in counts) / 1000:,.1f}" if counts else "-"
        cells = [f"**{name}**: {operation.what}", spread(microseconds[name], ".1f")]
        rows.append([*cells, f"{share:.1%}", counted])
    head = ["step", "CPU µs per event", "of the path", "thousand instructions"]
    return (
        f"Each processing step alone, on the same {figures['events']} events (a few words to"
        " 8 KiB, half of them conversations; completions of 600 and of 1,500 characters), and"
        " the full path with an in-memory bus and an engine with prepared completions. All steps"
        " alternate in each round.\n\n"
        + table(head, rows)
        + _presets(microseconds, counts)
        + _repeatability(counts)
        + f"\nCI counts them again (`python -m benchmarks.micro check`) and fails if a step needs"
        f" {MAX_GROWTH:.0%} more instructions than in `benchmarks/micro/baseline.json`.\n"
    )


def _presets(microseconds: dict[str, list[float]], counts: list[dict[str, int]]) -> str:
    """What mappings cost beside an event of ours."""
    rows = []
    for preset in MAPPED:
        names = (mapped_name(preset), unmapped_name(preset))
        by_preset, as_event = (min(microseconds[name]) for name in names)
        counted = [statistics.median(c[name] for c in counts) / 1000 for name in names if counts]
        more = f"{counted[0] - counted[1]:,.1f}" if counts else "-"
        cells = [f"`{preset}`", f"{as_event:.1f}", f"{by_preset:.1f}"]
        rows.append([*cells, f"{by_preset - as_event:.1f}", more])
    head = [
        "preset",
        "as an event, µs",
        "by the preset, µs",
        "more, µs",
        "thousand instructions more",
    ]
    return (
        "\nA record of 2 KiB, decoded as an event of ours and by `input.mapping`, the least time of"
        " all rounds; the presets that cost the most, and one that many use:\n\n"
        + table(head, rows)
    )


def _repeatability(counts: list[dict[str, int]]) -> str:
    if len(counts) < 2:
        return ""
    apart = {name: max(c[name] for c in counts) / min(c[name] for c in counts) - 1
             for name in counts[0]}  # fmt: skip
    worst = max(apart, key=lambda name: apart[name])
    return (
        f"\nCounted {len(counts)} times, instructions differ by at most {apart[worst]:.2%}"
        f" (`{worst}`), independent of the load of the machine.\n"
    )
