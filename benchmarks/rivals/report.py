"""What the page says of the usual worker."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.figures import ratios, spread, table
from benchmarks.rivals.sides import MAX_NUM_SEQS, OURS, SIDES, THEIRS
from benchmarks.rivals.workload import LONG_PROMPT_SHARE, LONG_RESPONSE_SHARE

_WORDS = {OURS: "Guardstream", THEIRS: "hand-written worker"}
_NAMES = {OURS: "Guardstream", THEIRS: "the hand-written worker"}
_COLORS = {OURS: "#218bff", THEIRS: "#bf8700"}
_STYLES = {"p50": ("-", "o"), "p99": ("--", "s")}
_OPENING = f"""
The usual worker: aiokafka, a batch of up to {MAX_NUM_SEQS} records whose prompts are all in flight
at once over HTTP to vLLM's own OpenAI-compatible server, a commit after the batch; at least once,
as Guardstream is run here. Each side has a vLLM of its own with the same arguments and the
demonstration guard on the CPU, loaded once, and gets the same events in turn. Most events are as
`training.exchanges` composes them, a fifth of them without a response; {LONG_PROMPT_SHARE:.0%} have
a request around pasted text, and {LONG_RESPONSE_SHARE:.0%}, if there is a reply, one of as many
texts. Age is the time from the input record's timestamp to the broker's append of the verdict.
"""


def write(figures: dict[str, Any], pictures: Path) -> str:
    """The Markdown, and `rivals.png` among the pictures."""
    draw(figures, pictures / "rivals.png")
    return "\n".join(
        [
            _OPENING,
            _capacities(figures),
            _loads(figures),
            "![Age against load](benchmarks/rivals.png)\n",
            _burst(figures),
            _slow(figures),
        ]
    )


def _capacities(figures: dict[str, Any]) -> str:
    head = ["A backlog", "", "events/s", "tokens an event", "CPU ms an event"]
    rows, said = [], []
    for key, words in (("capacity", "the mix"), ("prompt_only", "requests alone")):
        trials = figures[key]
        rates = {name: [t["events_per_second"] for t in trials[name]] for name in SIDES}
        for name in SIDES:
            tokens = spread([t["completion_tokens"] for t in trials[name]], ".0f")
            cpu = spread([t["cpu_ms_per_event"] for t in trials[name]], ".1f")
            rows.append([words, _WORDS[name], spread(rates[name], ".1f"), tokens, cpu])
        shares = ratios(rates[OURS], rates[THEIRS])
        said.append(spread(shares))
    events = figures["capacity"][OURS][0]["events"]
    return (
        f"{table(head, rows)}\n**Guardstream does {said[0]} times what the hand-written worker does"
        f" on the mix, and {said[1]} times on requests alone** (backlogs of {events} events, all"
        " there at once; from then to the last verdict; CPU with the engine's and, there, the"
        " server's).\n"
    )


def _loads(figures: dict[str, Any]) -> str:
    head = ["Poisson arrivals", "events/s", *_heads()]
    rows = [
        [f"{load['share']:.0%} of the smaller capacity", f"{load['rate']:.1f}", *_cells(load)]
        for load in figures["loads"]
    ]
    return f"{table(head, rows)}"


def _burst(figures: dict[str, Any]) -> str:
    burst = figures["burst"]
    head = [f"{figures['burst_events']} events at once, on half the capacity", "drained in"]
    head += ["their p50 age", "their p99 age", "p50 age of the others", "p99 age of the others"]
    rows = []
    for name in SIDES:
        ages = burst[name]["ages"]
        theirs = ages["burst"]
        others = ages["flow"]
        cells = (theirs["drained"], theirs["p50"], theirs["p99"], others["p50"], others["p99"])
        rows.append([_WORDS[name], *map(_seconds, cells)])
    return (
        f"{table(head, rows)}\nGuardstream lets those in that come meanwhile as soon as the engine"
        " has room, so the burst's longest completions share it with them. The hand-written"
        " worker's batch has the engine for itself, and the others wait for it.\n"
    )


def _slow(figures: dict[str, Any]) -> str:
    slow = figures["slow"]
    head = ["Half the capacity, the other records", *_heads()]
    rows = [
        [words, *_cells(slow[key])]
        for key, words in (
            ("without", "without slow records"),
            ("with", f"1 in {figures['slow_every']} is slow"),
        )
    ]
    added = {
        name: slow["with"][name]["ages"]["flow"]["p99"]
        - slow["without"][name]["ages"]["flow"]["p99"]
        for name in SIDES
    }
    took = {name: slow["with"][name]["ages"]["slow"]["p50"] for name in SIDES}
    said = " and ".join(f"{_seconds(took[name])} with {_NAMES[name]}" for name in SIDES)
    return (
        f"{table(head, rows)}\nA slow record, on which the guard writes to its limit, takes {said}"
        f" (median). The p99 age of the others changes by {added[OURS]:+.2f} s with Guardstream,"
        " which takes the next record as soon as the engine has room, and by"
        f" {added[THEIRS]:+.2f} s with the hand-written worker, whose next batch waits for the"
        " slowest of the last.\n"
    )


def _heads() -> list[str]:
    return [f"{share} {_WORDS[name]}" for share in _STYLES for name in SIDES]


def _cells(trials: dict[str, Any]) -> list[str]:
    return [_seconds(trials[name]["ages"]["flow"][share]) for share in _STYLES for name in SIDES]


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def draw(figures: dict[str, Any], path: Path) -> None:
    """Age against load, both shares of both sides."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    loads = figures["loads"]
    rates = [load["rate"] for load in loads]
    for share, (line, marker) in _STYLES.items():
        for name in SIDES:
            ages = [load[name]["ages"]["flow"][share] for load in loads]
            axes.plot(
                rates,
                ages,
                linestyle=line,
                marker=marker,
                color=_COLORS[name],
                label=f"{_WORDS[name]}, {share}",
            )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="y", which="minor", labelsize=7)
    axes.set_xticks(rates, [f"{load['rate']:.1f}\n({load['share']:.0%})" for load in loads])
    axes.set_xlabel("events a second (of the smaller capacity)")
    axes.set_ylabel("age at the verdict, seconds")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", which="both", alpha=0.25)
    figure.legend(loc="outside upper center", ncols=4, fontsize=8)
    figure.savefig(path, dpi=110)
