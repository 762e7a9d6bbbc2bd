"""The section of the page: what grew, what it cost, and what that says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import median, spread, table
from benchmarks.growth.costs import PARTITIONS
from benchmarks.growth.curves import (
    Points,
    Trials,
    cpu_us,
    efficiencies,
    memory,
    most_mib,
    rates,
    to_smallest,
)
from benchmarks.growth.pictures import draw_costs, draw_memory, draw_workers
from benchmarks.growth.workers import FIRST_TOKEN_SECONDS, PLACES, TOKEN_SECONDS

# curve, guarantee, what a row says, and what its number counts
_CURVES = (
    ("partitions", "at_least_once", "partitions: {}, at_least_once", 1),
    ("partitions", "exactly_once", "partitions: {}, exactly_once", 1),
    ("waiting", "at_least_once", "events that wait: {}", 1),
    ("conversation", "at_least_once", "{} KiB, by its conversation", 1024),
    ("prompt", "at_least_once", "{} KiB, by its prompt", 1024),
)


def section(figures: dict[str, Any], pictures: Path) -> str:
    """See `benchmarks.measuring.Part`."""
    draw_workers(figures["workers"], pictures / "growth-workers.png")
    draw_costs(figures["costs"], pictures / "growth-costs.png")
    draw_memory(figures["million"]["curve"], pictures / "growth-memory.png")
    return "\n".join(
        [_workers(figures["workers"]), _costs(figures["costs"]), _million(figures["million"])]
    )


def _workers(rounds: Sequence[Mapping[str, Any]]) -> str:
    numbers = [stage["workers"] for stage in rounds[0]["stages"]]
    shares = [efficiencies(one["stages"]) for one in rounds]
    rows = []
    for n, number in enumerate(numbers):
        each = [one["stages"][n] for one in rounds]
        rows.append(
            [
                str(number),
                spread([stage["events_per_second"] for stage in each], ".0f"),
                spread([share[number] for share in shares]),
                spread([stage["cores"] for stage in each]),
                spread([s for stage in each for s in stage["joining_seconds"]], ".1f"),
                spread([stage["silence_seconds"] for stage in each], ".1f"),
            ]
        )
    head = ["workers", "events/s", "to n times one", "cores", "joining, s", "silence, s"]
    most = max(numbers)
    reached = median([share[most] for share in shares])
    return f"""### Workers

Workers of one group, as processes on one machine, with a simulated engine that is the limit, as a
GPU is: {PLACES} prompts at once, {1000 * FIRST_TOKEN_SECONDS:g} ms to the first token and
{1000 * TOKEN_SECONDS:g} ms for each of about a hundred more. Whether the workers get in each
other's way is what this shows, not what a GPU does.

{table(head, rows)}
![Events a second against workers, and over time](benchmarks/growth-workers.png)

{most} workers together do {reached * most:.2f} times what one does. *Cores* is the CPU that all
workers took together. *Joining* is a newcomer's time from the start of its process to its first
verdict; *silence* the longest time meanwhile in which nobody wrote one, since the group shares out
its partitions anew.
"""


def _costs(trials: Trials) -> str:
    said = [
        (
            f"{_range(trials, 'partitions').format('partitions')} an event comes to cost"
            f" {_times(trials, 'partitions', 'at_least_once')} in `at_least_once` and"
            f" {_times(trials, 'partitions', 'exactly_once')} in `exactly_once`, where every"
            " partition has transactions of its own."
        ),
        (
            f"{_range(trials, 'waiting').format('events that wait')}, it comes to cost"
            f" {_times(trials, 'waiting', 'at_least_once')}, and the worker's memory is"
            f" {_last(to_smallest(most_mib(trials, 'waiting', 'at_least_once'))):.2f} times as"
            " much."
        ),
        (
            f"{_range(trials, 'prompt', 1024).format('KiB')}, it comes to cost"
            f" {_times(trials, 'prompt', 'at_least_once')} where the prompt is longer, which is"
            f" rendered and tokenised, and {_times(trials, 'conversation', 'at_least_once')} where"
            " the conversation before it is, which is only decoded."
        ),
    ]
    return f"""### What an event costs

One worker alone in its process, with a simulated engine that takes no time, through a topic that
was filled before; one thing grows at a time, and the others are {PARTITIONS} partitions and events
of 0.2 KiB. CPU is that of the worker from the first fifth of the outcomes until everything is
settled, over the outcomes in that time; its start is not in it.

{_cost_table(trials)}
![CPU of an event against partitions, waiting events and size](benchmarks/growth-costs.png)

{" ".join(said)}
"""


def _cost_table(trials: Trials) -> str:
    rows = []
    for curve, guarantee, name, unit in _CURVES:
        cost, rate = cpu_us(trials, curve, guarantee), rates(trials, curve, guarantee)
        ratio, most = to_smallest(cost), most_mib(trials, curve, guarantee)
        rows += [
            [
                name.format(f"{size / unit:,g}"),
                spread(cost[size], ".0f"),
                spread(ratio[size]),
                spread(rate[size], ".0f"),
                f"{median(most[size]):.0f}",
            ]
            for size in cost
        ]
    return table(["", "CPU µs an event", "to the smallest", "events/s", "MiB at most"], rows)


def _range(trials: Trials, curve: str, unit: int = 1) -> str:
    sizes = cpu_us(trials, curve, "at_least_once")
    return f"From {min(sizes) / unit:,g} to {max(sizes) / unit:,g} {{}}"


def _times(trials: Trials, curve: str, guarantee: str) -> str:
    return f"{_last(to_smallest(cpu_us(trials, curve, guarantee))):.2f} times as much"


def _last(points: Points) -> float:
    return median(points[max(points)])


def _million(figures: Mapping[str, Any]) -> str:
    found, events = memory(figures["curve"]), figures["events"]
    change = found.growth * events / 1e6
    return f"""### {events:,} events

They went through one worker in `at_least_once`, {events / figures["seconds"]:,.0f} a second while
this machine filled the topic too.

![Resident memory of a worker over the events](benchmarks/growth-memory.png)

The process held {found.warm:.0f} MiB when a tenth of the events were settled, {found.last:.0f} MiB
at the end and {found.most:.0f} MiB at most. The straight line through all after the first tenth
changes by {change:+.1f} MiB over {events:,} events. `python -m benchmarks.soak` does the same with
two workers that are restarted in turn, and counts every outcome.
"""
