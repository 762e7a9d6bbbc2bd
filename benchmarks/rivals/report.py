"""The section of the page on the usual worker."""

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
The usual worker uses aiokafka, sends the prompts of up to {MAX_NUM_SEQS} records concurrently over
HTTP to vLLM's OpenAI-compatible server, and commits after the batch. It runs at least once, and so
does Guardstream here. Each side has its own vLLM with the same arguments and the demonstration
guard on the CPU, loaded once, and gets the same events in turn. Most events come from
`training.exchanges`, a fifth of them without a response; in {LONG_PROMPT_SHARE:.0%} the request
contains several pasted texts, and in {LONG_RESPONSE_SHARE:.0%}, if there is a response, the
response consists of as many. Age is the time from the input record's timestamp to the broker's
append of the verdict.
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
    head = ["Backlog", "", "events/s", "tokens per event", "CPU ms per event"]
    rows, spreads = [], []
    for key, words in (("capacity", "the mix"), ("prompt_only", "requests alone")):
        trials = figures[key]
        rates = {name: [t["events_per_second"] for t in trials[name]] for name in SIDES}
        for name in SIDES:
            tokens = spread([t["completion_tokens"] for t in trials[name]], ".0f")
            cpu = spread([t["cpu_ms_per_event"] for t in trials[name]], ".1f")
            rows.append([words, _WORDS[name], spread(rates[name], ".1f"), tokens, cpu])
        shares = ratios(rates[OURS], rates[THEIRS])
        spreads.append(spread(shares))
    events = figures["capacity"][OURS][0]["events"]
    return (
        f"{table(head, rows)}\n**Guardstream reaches {spreads[0]} times the throughput of the"
        f" hand-written worker on the mix, and {spreads[1]} times on requests alone** (backlogs of"
        f" {events} events, produced at once; measured until the last verdict; CPU includes the"
        " engine's, and the server's for the hand-written worker).\n"
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
    head += [
        "p50 age of the burst",
        "p99 age of the burst",
        "p50 age of others",
        "p99 age of others",
    ]
    rows = []
    for name in SIDES:
        ages = burst[name]["ages"]
        theirs = ages["burst"]
        others = ages["flow"]
        cells = (theirs["drained"], theirs["p50"], theirs["p99"], others["p50"], others["p99"])
        rows.append([_WORDS[name], *map(_seconds, cells)])
    return (
        f"{table(head, rows)}\nGuardstream admits new events as soon as the engine has a free slot,"
        " so they share the engine with the burst's longest completions. The hand-written worker's"
        " batch has the engine exclusively, and other events wait for it.\n"
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
    times = " and ".join(f"{_seconds(took[name])} with {_NAMES[name]}" for name in SIDES)
    return (
        f"{table(head, rows)}\nA slow record, whose completion reaches its token limit, takes"
        f" {times} (median). The p99 age of the others changes by {added[OURS]:+.2f} s with"
        " Guardstream, which takes the next record as soon as the engine has a free slot, and by"
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
