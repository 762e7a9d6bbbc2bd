"""The section of the page on growth: workers, partitions, backlog and event size."""

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

# curve, guarantee, the label of a row, and the unit of its number
_CURVES = (
    ("partitions", "at_least_once", "partitions: {}, at_least_once", 1),
    ("partitions", "exactly_once", "partitions: {}, exactly_once", 1),
    ("waiting", "at_least_once", "backlog, events: {}", 1),
    ("conversation", "at_least_once", "{} KiB, long conversation", 1024),
    ("prompt", "at_least_once", "{} KiB, long prompt", 1024),
)


def section(figures: dict[str, Any], pictures: Path) -> str:
    """The three subsections, and their pictures."""
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
    head = ["workers", "events/s", "efficiency", "cores", "joining, s", "pause, s"]
    most = max(numbers)
    reached = median([share[most] for share in shares])
    return f"""### Workers

Workers of one group, as processes on one machine. A simulated engine is the bottleneck, as a GPU
would be: {PLACES} concurrent prompts, {1000 * FIRST_TOKEN_SECONDS:g} ms to the first token and
{1000 * TOKEN_SECONDS:g} ms for each of about a hundred more. This shows whether the workers slow
each other down, not the speed of a GPU.

{table(head, rows)}
![Events per second against workers, and over time](benchmarks/growth-workers.png)

{most} workers reach {reached * most:.2f} times the throughput of one. *Efficiency* is the
throughput divided by that of one worker times the number of workers. *Cores* is the CPU of all
workers together. *Joining* is the time from the start of a new worker's process to its first
verdict; *pause* is the longest time during it without a verdict, because the group rebalances.
"""


def _costs(trials: Trials) -> str:
    sentences = [
        (
            f"{_range(trials, 'partitions').format('partitions')} the cost per event changes"
            f" {_times(trials, 'partitions', 'at_least_once')} in `at_least_once` and"
            f" {_times(trials, 'partitions', 'exactly_once')} in `exactly_once`, where every"
            " partition has its own transactions."
        ),
        (
            f"{_range(trials, 'waiting').format('events of backlog')}, it changes"
            f" {_times(trials, 'waiting', 'at_least_once')}, and the worker's memory"
            " by a factor of"
            f" {_last(to_smallest(most_mib(trials, 'waiting', 'at_least_once'))):.2f}."
        ),
        (
            f"{_range(trials, 'prompt', 1024).format('KiB')}, it changes"
            f" {_times(trials, 'prompt', 'at_least_once')} for longer prompts, which are rendered"
            f" and tokenised, and {_times(trials, 'conversation', 'at_least_once')} for longer"
            " conversations before the prompt, which are only decoded."
        ),
    ]
    return f"""### Cost per event

One worker in its own process, with a simulated engine that takes no time, reads a topic that was
filled before. One parameter grows at a time; the defaults are {PARTITIONS} partitions and events of
0.2 KiB. CPU is that of the worker from the first fifth of the outcomes until everything is settled,
divided by the outcomes in that time; start-up is excluded.

{_cost_table(trials)}
![CPU per event against partitions, backlog and size](benchmarks/growth-costs.png)

{" ".join(sentences)}
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
    return table(
        ["", "CPU µs per event", "relative to the smallest", "events/s", "maximum MiB"], rows
    )


def _range(trials: Trials, curve: str, unit: int = 1) -> str:
    sizes = cpu_us(trials, curve, "at_least_once")
    return f"From {min(sizes) / unit:,g} to {max(sizes) / unit:,g} {{}}"


def _times(trials: Trials, curve: str, guarantee: str) -> str:
    return f"by a factor of {_last(to_smallest(cpu_us(trials, curve, guarantee))):.2f}"


def _last(points: Points) -> float:
    return median(points[max(points)])


def _million(figures: Mapping[str, Any]) -> str:
    found, events = memory(figures["curve"]), figures["events"]
    change = found.growth * events / 1e6
    return f"""### {events:,} events

One worker in `at_least_once` processed {events / figures["seconds"]:,.0f} events a second, while
the same machine also filled the topic.

![Resident memory of a worker over the events](benchmarks/growth-memory.png)

The process used {found.warm:.0f} MiB when a tenth of the events were settled, {found.last:.0f} MiB
at the end and {found.most:.0f} MiB at most. A linear fit after the first tenth
changes by {change:+.1f} MiB over {events:,} events. `python -m benchmarks.soak` does the same with
two workers that are restarted in turn, and counts every outcome.
"""
