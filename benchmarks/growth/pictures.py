"""Growth as pictures: workers, what an event costs, and memory over a million events."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator, NullFormatter, NullLocator

from benchmarks.figures import median
from benchmarks.growth.curves import Points, Trials, cpu_us, most_mib

_LINE, _SOFT, _BLUE, _GREEN, _GREY = "#24292f", "#bf8700", "#218bff", "#2da44e", "#8c959f"
_WORKERS = (_GREY, _BLUE, _GREEN, _SOFT)
_GUARANTEES = {"at_least_once": _BLUE, "exactly_once": _SOFT}
_DPI = 110


def draw_workers(rounds: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Events a second against the number of workers, and over the time of the first round."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    growth, time = figure.subplots(1, 2, width_ratios=[1, 2])
    numbers = [stage["workers"] for stage in rounds[0]["stages"]]
    rates: Points = {
        stage["workers"]: [one["stages"][n]["events_per_second"] for one in rounds]
        for n, stage in enumerate(rounds[0]["stages"])
    }
    alone = median(rates[numbers[0]])
    growth.plot(
        [0, numbers[-1]], [0, numbers[-1] * alone], color=_LINE, linewidth=0.8, linestyle=":"
    )
    growth.annotate(
        "n times one worker",
        (0.62 * numbers[-1], 0.62 * numbers[-1] * alone),
        xytext=(-6, 4),
        textcoords="offset points",
        ha="right",
        fontsize=8,
    )
    _draw_points(growth, rates, _BLUE)
    growth.set_xticks(numbers)
    growth.set_xlim(0, numbers[-1] + 0.3)
    growth.set_ylim(bottom=0)
    growth.set_xlabel("workers")
    growth.set_ylabel("events a second")
    _draw_run(time, rounds[0])
    for axes in (growth, time):
        _clear(axes)
    figure.savefig(path, dpi=_DPI)


def _draw_run(axes: Axes, run: Mapping[str, Any]) -> None:
    """Who judged how much in each second, and when each process was started."""
    written: Mapping[str, list[float]] = run["written"]
    end = max(at for moments in written.values() for at in moments)
    axes.hist(
        list(written.values()),
        bins=[float(n) for n in range(int(end) + 1)],
        stacked=True,
        color=_WORKERS[: len(written)],
        label=[who.replace("-", " ") for who in written],
    )
    starts = sorted(set(run["started"].values()))
    for n, at in enumerate(starts):
        label = "a process was started" if n == 0 else None
        axes.axvline(at, color=_LINE, linewidth=0.8, linestyle=":", label=label)
    axes.set_xlim(0, int(end))
    axes.set_ylim(top=1.3 * axes.get_ylim()[1])
    axes.set_xlabel("seconds since the first worker's start")
    axes.set_ylabel("verdicts in a second")
    axes.legend(loc="upper left", fontsize=8, ncols=3)


def draw_costs(trials: Trials, path: Path) -> None:
    """CPU an event against each thing that grows; bars are from the least to the most."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    partitions, waiting, size = figure.subplots(1, 3)
    for guarantee, color in _GUARANTEES.items():
        _draw_points(partitions, cpu_us(trials, "partitions", guarantee), color, label=guarantee)
    partitions.set_xlabel("partitions of one worker")
    partitions.set_ylabel("CPU µs an event")
    _draw_points(
        waiting, cpu_us(trials, "waiting", "at_least_once"), _BLUE, label="CPU µs an event"
    )
    _draw_points(
        waiting,
        most_mib(trials, "waiting", "at_least_once"),
        _GREY,
        label="resident MiB, at most",
        marker="s",
    )
    waiting.set_xlabel("events that wait at its start")
    for curve, color in (("prompt", _GREEN), ("conversation", _BLUE)):
        points = {n / 1024: values for n, values in cpu_us(trials, curve, "at_least_once").items()}
        _draw_points(size, points, color, label=f"a longer {curve}")
    size.set_yscale("log")
    size.set_xlabel("size of an event, KiB")
    size.set_ylabel("CPU µs an event")
    for axes in (partitions, waiting, size):
        axes.set_xscale("log")
        _clear(axes)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.legend(loc="upper left", fontsize=8)
    for axes in (partitions, waiting):
        axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
    size.set_ylim(top=4 * size.get_ylim()[1])
    size.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    size.yaxis.set_minor_formatter(NullFormatter())
    _tick_sizes(partitions, cpu_us(trials, "partitions", "at_least_once"))
    _tick_sizes(waiting, cpu_us(trials, "waiting", "at_least_once"))
    _tick_sizes(size, [n / 1024 for n in cpu_us(trials, "prompt", "at_least_once")])
    figure.savefig(path, dpi=_DPI)


def draw_memory(curve: Sequence[tuple[int, float]], path: Path) -> None:
    """Resident memory over events."""
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    axes = figure.subplots()
    events, sizes = zip(*curve, strict=True)
    axes.plot([n / 1000 for n in events], sizes, color=_BLUE)
    axes.set_ylim(0, 1.35 * max(sizes))
    axes.set_xlim(0, max(events) / 1000)
    axes.set_xlabel("thousand events that one worker has settled")
    axes.set_ylabel("resident MiB")
    axes.yaxis.set_major_locator(MultipleLocator(25))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    _clear(axes)
    figure.savefig(path, dpi=_DPI)


def _draw_points(
    axes: Axes,
    points: Mapping[float, Sequence[float]],
    color: str,
    *,
    label: str | None = None,
    marker: str = "o",
) -> None:
    """The median of the rounds, and a bar from the least to the most."""
    middles = [median(values) for values in points.values()]
    below = [middle - min(values) for middle, values in zip(middles, points.values(), strict=True)]
    above = [max(values) - middle for middle, values in zip(middles, points.values(), strict=True)]
    axes.errorbar(
        list(points),
        middles,
        yerr=[below, above],
        color=color,
        marker=marker,
        markersize=4,
        capsize=2.5,
        linewidth=1.4,
        label=label,
    )


def _tick_sizes(axes: Axes, sizes: Sequence[float] | Points) -> None:
    axes.set_xticks(list(sizes), [f"{size:,g}" for size in sizes])


def _clear(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
