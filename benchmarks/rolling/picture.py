"""The rehearsal as one picture."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.rolling.curves import ages, by_version, lag, percentile
from benchmarks.rolling.rehearsal import Story

_OLD, _NEW, _LINE, _SOFT = "#8c959f", "#218bff", "#24292f", "#bf8700"


def draw(story: Story, path: Path) -> None:
    """Write it."""
    figure = Figure(figsize=(9, 8), layout="constrained")
    workers, waits, late, rates = figure.subplots(
        4, 1, sharex=True, height_ratios=[1.0, 1.6, 1.4, 1.4]
    )
    origin = story.fed[0]
    _draw_workers(workers, story, origin)
    waits.plot(*_shifted(lag(story), origin), color=_LINE, label="by the topics' timestamps")
    told = [(at, count) for at, count in story.told if origin <= at <= story.fed[1]]
    waits.step(
        *_shifted(told, origin),
        color=_SOFT,
        where="post",
        label="as the workers' /metrics say (every 5 s)",
    )
    waits.set_ylabel("lag, records")
    waits.legend(loc="upper left", fontsize=8)
    _draw_ages(late, story, origin)
    when = by_version(story)
    end = max(at for some in when.values() for at in some)
    rates.hist(
        [[at - origin for at in when["old"]], [at - origin for at in when["new"]]],
        bins=[float(n) for n in range(int(end - origin) + 2)],
        stacked=True,
        color=[_OLD, _NEW],
        label=["judged by the old version", "by the new one"],
    )
    rates.axhline(story.script.rate, color=_LINE, linewidth=0.8, linestyle=":")
    rates.set_ylabel("verdicts a second")
    rates.set_xlabel("seconds of load")
    rates.set_ylim(top=1.35 * rates.get_ylim()[1])
    rates.legend(loc="upper left", fontsize=8, ncols=2)
    for axes in (workers, waits, late, rates):
        axes.set_xlim(0, end - origin)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.25)
        for stay in story.stays:
            for at in (stay.asked_at, stay.ready_at if stay.version == "new" else None):
                if at is not None:
                    axes.axvline(at - origin, color=_OLD, linewidth=0.6)
    figure.suptitle(
        f"Rolling update of two workers, {story.script.guarantee},"
        f" {story.script.rate:g} records a second",
        fontsize=11,
    )
    figure.savefig(path, dpi=110)


def _draw_workers(axes: Axes, story: Story, origin: float) -> None:
    """Which version of which worker lived when; pale while it starts or stops."""
    rows = sorted({stay.worker for stay in story.stays}, reverse=True)
    for stay in story.stays:
        row, color = rows.index(stay.worker), _OLD if stay.version == "old" else _NEW
        asked = stay.asked_at or story.fed[1]
        ended = stay.ended_at or asked
        for start, end, alpha in (
            (stay.started_at, stay.ready_at, 0.35),
            (stay.ready_at, asked, 1.0),
            (asked, ended, 0.35),
        ):
            axes.barh(row, end - start, 0.55, start - origin, color=color, alpha=alpha)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(-0.6, len(rows) - 0.4)


def _draw_ages(axes: Axes, story: Story, origin: float) -> None:
    """The median and the worst of every second's outcomes."""
    seconds: dict[int, list[float]] = {}
    for at, age in ages(story):
        seconds.setdefault(int(at - origin), []).append(age)
    for share, color in ((0.5, _OLD), (0.99, _LINE)):
        points = [(n + 0.5, percentile(some, share)) for n, some in sorted(seconds.items())]
        axes.plot(*zip(*points, strict=True), color=color, label=f"p{100 * share:.0f}")
    axes.set_ylabel("event age, s")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", fontsize=8)


def _shifted(curve: list[tuple[float, float]], origin: float) -> tuple[list[float], list[float]]:
    return [at - origin for at, _ in curve], [value for _, value in curve]
