"""The section of the page on the bus path."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.bus.measurement import BASE_BYTES, BASE_PARTITIONS
from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.contract import GUARANTEES
from benchmarks.figures import median, ratios, spread, table

_GOAL = 0.8
_OURS, _FLOOR, _CONTEXT = "guardstream", "bare", "copy"
_OPENING = f"""
Each contender in turn processes events of {BASE_BYTES / 1024:g} KiB on {BASE_PARTITIONS} partitions
into verdicts, with one broker on the same cores. Python contenders call Guardstream's own functions
(decode, render, tokenise, a simulated engine without latency, parse, encode). The others call the
same engine behind an OpenAI-compatible endpoint, whose CPU is counted separately. Time and CPU are
measured from the broker's append of a fifth of the outcomes to its append of the last, so start-up
is excluded. Every outcome is read back and counted.
"""
_ABOUT_THE_FLOOR = """
The bare loop is aiokafka's consumer and producer in one loop: no overlap, no retries, no metrics,
and exactly once only while it is the only member of its group. Copying is that loop without the
work, which measures the client alone.
"""
_NOT_MEASURED = "-"
_WHAT = ("events/s", "CPU per event")
_TITLES = {"at_least_once": "At least once", "exactly_once": "Exactly once"}
_COLORS = {"at_least_once": "#218bff", "exactly_once": "#8250df"}


class _Trials:
    """The trials of one input, by contender and guarantee, in the order of their rounds."""

    def __init__(self, figures: dict[str, Any], partitions: int, value_bytes: int) -> None:
        self._found = [
            trial
            for trial in figures["trials"]
            if (trial["partitions"], trial["value_bytes"]) == (partitions, value_bytes)
        ]

    def of(self, name: str, guarantee: str, figure: str) -> list[float]:
        """One figure, round by round; empty where it was not measured."""
        return [
            trial[figure]
            for trial in self._found
            if (trial["contender"], trial["guarantee"]) == (name, guarantee) and figure in trial
        ]

    def of_floor(self, name: str, guarantee: str, figure: str) -> list[float]:
        """The same as a share of the bare loop's, round by round."""
        return ratios(self.of(name, guarantee, figure), self.of(_FLOOR, guarantee, figure))


def write(figures: dict[str, Any], pictures: Path) -> str:
    """The Markdown, and `bus.png` among the pictures."""
    base = _Trials(figures, BASE_PARTITIONS, BASE_BYTES)
    draw(figures, pictures / "bus.png")
    return "\n".join(
        [
            _OPENING,
            *(_table(base, figures, guarantee) for guarantee in GUARANTEES),
            _ABOUT_THE_FLOOR,
            *(_conclusion(base, guarantee) for guarantee in GUARANTEES),
            "",
            "![Events per second as a share of the bare loop's](benchmarks/bus.png)",
            "",
            _varied(figures),
        ]
    )


def _table(base: _Trials, figures: dict[str, Any], guarantee: str) -> str:
    head = (
        *(
            _TITLES[guarantee],
            "events/s",
            "of the bare loop",
            "CPU µs per event",
            "of the bare loop",
        ),
        *("endpoint's CPU µs", "lost", "duplicated"),
    )
    rows, notes = [], []
    for name, contender in CONTENDERS.items():
        title = f"**{contender.title}**" if name == _OURS else contender.title
        if base.of(name, guarantee, "events"):
            rows.append([title, *_cells(base, name, guarantee)])
        for unable in figures["unable"]:
            if (unable["contender"], unable["guarantee"]) == (name, guarantee):
                rows.append([title, *_NOT_MEASURED * (len(head) - 1)])
                notes.append(unable["why"])
    return table(head, rows) + "".join(f"\n{note}\n" for note in notes)


def _cells(base: _Trials, name: str, guarantee: str) -> list[str]:
    endpoint = base.of(name, guarantee, "endpoint_cpu_us_per_event")
    return [
        spread(base.of(name, guarantee, "events_per_second"), ".0f"),
        spread(base.of_floor(name, guarantee, "events_per_second")),
        spread(base.of(name, guarantee, "cpu_us_per_event"), ".0f"),
        spread(base.of_floor(name, guarantee, "cpu_us_per_event")),
        spread(endpoint, ".0f") if endpoint else "",
        f"{sum(base.of(name, guarantee, 'lost')):.0f}",
        f"{sum(base.of(name, guarantee, 'repeated')):.0f}",
    ]


def _conclusion(base: _Trials, guarantee: str) -> str:
    share = median(base.of_floor(_OURS, guarantee, "events_per_second"))
    cpu = median(base.of_floor(_OURS, guarantee, "cpu_us_per_event"))
    others = {
        CONTENDERS[name].title: median(
            ratios(
                base.of(_OURS, guarantee, "events_per_second"),
                base.of(name, guarantee, "events_per_second"),
            )
        )
        for name in CONTENDERS
        if name not in (_OURS, _FLOOR, _CONTEXT) and base.of(name, guarantee, "events")
    }
    goal = f"{'which meets' if share >= _GOAL else 'which is below'} the goal of {_GOAL}"
    moves = f"reaches {share:.2f} of the bare loop's throughput with {cpu:.2f} times its CPU"
    sentences = [f"{_TITLES[guarantee]}, Guardstream {moves}, {goal}."]
    ahead = [f"{title} ({ratio:.2f} times)" for title, ratio in others.items() if ratio >= 1]
    behind = [f"{title} ({ratio:.2f} times)" for title, ratio in others.items() if ratio < 1]
    for comparison, these in (("faster than", ahead), ("slower than", behind)):
        if these:
            sentences.append(f"It is {comparison} {_and(these)}.")
    return " ".join(sentences)


def _varied(figures: dict[str, Any]) -> str:
    rows = []
    for partitions, value_bytes in _inputs(figures):
        trials = _Trials(figures, partitions, value_bytes)
        shares = [
            spread(trials.of_floor(_OURS, guarantee, figure))
            for guarantee in GUARANTEES
            for figure in ("events_per_second", "cpu_us_per_event")
        ]
        rows.append([f"{partitions} partitions, {value_bytes / 1024:g} KiB", *shares])
    once, exactly = (_TITLES[guarantee].lower() for guarantee in GUARANTEES)
    head = ("Guardstream / bare loop", *(f"{what}, {g}" for g in (once, exactly) for what in _WHAT))
    return table(head, rows)


def _inputs(figures: dict[str, Any]) -> list[tuple[int, int]]:
    return sorted({(trial["partitions"], trial["value_bytes"]) for trial in figures["trials"]})


def draw(figures: dict[str, Any], path: Path) -> None:
    """Throughput relative to the bare loop: all on the base input, Guardstream on all inputs."""
    picture = Figure(figsize=(11, 4.5), layout="constrained")
    contenders, varied = picture.subplots(1, 2)
    base = _Trials(figures, BASE_PARTITIONS, BASE_BYTES)
    names = [name for name in CONTENDERS if name not in (_CONTEXT, _FLOOR)]
    _bars(
        contenders,
        [CONTENDERS[name].title for name in names],
        lambda row, guarantee: (
            base.of_floor(names[row], guarantee, "events_per_second")
            if base.of(names[row], guarantee, "events")
            else []
        ),
    )
    contenders.set_title(f"contenders, {BASE_PARTITIONS} partitions, {BASE_BYTES / 1024:g} KiB")
    inputs = _inputs(figures)
    _bars(
        varied,
        [f"{partitions} partitions\n{size / 1024:g} KiB" for partitions, size in inputs],
        lambda row, guarantee: _Trials(figures, *inputs[row]).of_floor(
            _OURS, guarantee, "events_per_second"
        ),
    )
    varied.set_title("Guardstream")
    contenders.legend(loc="lower right", fontsize=8)
    picture.savefig(path, dpi=110)


def _bars(axes: Any, labels: Sequence[str], shares: Callable[[int, str], Sequence[float]]) -> None:
    height = 0.8 / len(GUARANTEES)
    for place, guarantee in enumerate(GUARANTEES):
        for row in range(len(labels)):
            if not (found := shares(row, guarantee)):
                continue
            middle = median(found)
            axes.barh(
                row + (place - 0.5) * height,
                middle,
                height,
                color=_COLORS[guarantee],
                xerr=[[middle - min(found)], [max(found) - middle]],
                label=_TITLES[guarantee].lower() if row == 0 else None,
            )
    axes.axvline(1.0, color="#24292f", linewidth=0.8)
    axes.axvline(_GOAL, color="#24292f", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("events/s, of the bare loop's (dotted: the goal)")
    axes.spines[["top", "right"]].set_visible(False)


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
