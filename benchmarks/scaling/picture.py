"""The days as one picture."""

from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.scaling.simulation import Day, World

_COLORS = ("#8c959f", "#bf8700", "#218bff", "#2da44e")
_HOUR = 3600.0


def draw(world: World, days: list[Day], path: Path) -> None:
    """Write it."""
    figure = Figure(figsize=(10, 10), layout="constrained")
    load, replicas, lag, age = figure.subplots(4, 1, sharex=True, height_ratios=[1, 1.4, 1.2, 1.4])
    script = world.script
    times = [float(at) for at in range(0, round(world.seconds), 120)]
    hours = [at / _HOUR for at in times]
    load.plot(hours, [script.rate(at) for at in times], color="#24292f", label="events a second")
    load.set_ylabel("events/s")
    cost = load.twinx()
    cost.plot(hours, [1000 * script.cost(at) for at in times], color="#cf222e", linestyle="--")
    cost.set_ylabel("GPU-ms a record", color="#cf222e")
    cost.set_ylim(bottom=0)
    needed = [script.rate(at) * script.cost(at) for at in times]
    replicas.plot(hours, needed, color="#24292f", linestyle=":", label="GPUs at work, at least")
    for day, color in zip(days, _COLORS, strict=True):
        at = [moment.at / _HOUR for moment in day.moments]
        replicas.step(
            at,
            [moment.joined for moment in day.moments],
            color=color,
            where="post",
            label=f"{day.name}: {day.gpu_hours:.0f} GPU-hours",
        )
        lag.plot(at, [max(moment.lag, 1.0) for moment in day.moments], color=color)
        age.plot(
            at,
            [max(moment.age_p99, 0.1) for moment in day.moments],
            color=color,
            label=f"{day.name}: p99 of the day {day.age(0.99):.0f} s",
        )
    age.axhline(60, color="#24292f", linewidth=0.8, linestyle=":")
    for axes in (lag, age):
        axes.set_yscale("log")
    replicas.set_ylabel("replicas that judge")
    lag.set_ylabel("lag, records")
    age.set_ylabel("event age p99, s")
    age.set_xlabel("hour of the day")
    for axes in (load, replicas, lag, age):
        axes.set_xlim(0, world.seconds / _HOUR)
        axes.set_xticks(range(0, round(world.seconds / _HOUR) + 1, 2))
        axes.grid(axis="x", alpha=0.25)
        axes.spines["top"].set_visible(False)
    for axes in (replicas, age):
        axes.legend(loc="upper left", fontsize=7.5, ncols=2)
        axes.set_ylim(top=axes.get_ylim()[1] * (1.35 if axes is replicas else 20))
    figure.savefig(path, dpi=110)
