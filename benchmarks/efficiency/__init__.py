"""How close the worker comes to its engine: Kafka to Kafka against `LLM.generate` alone."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.efficiency.model import choose_model
from benchmarks.figures import median, ratios, spread, table

TITLE = "Worker compared with the engine alone"

_SIDES = ("engine", "worker")
_MODES = {"always": "Complete reasoning", "never": "Scores only"}
_WORDS = {"engine": "`LLM.generate`", "worker": "Kafka → worker → Kafka"}
_GOALS = {"cpu": 0.90, "gpu": 0.97}


def measure(*, quick: bool) -> dict[str, Any]:
    """Rounds of both sides in turn in each mode, each side a process that keeps its engine."""
    rounds = 1 if quick else 4
    with tempfile.TemporaryDirectory(prefix="guardstream-shape-") as folder:
        model = choose_model(Path(folder))
        modes = {}
        for mode in _MODES:
            # a score takes a fifth of the time
            count = (150 if quick else 800) * (1 if mode == "always" else 3)
            groups = {"engine": model.settings, "judging": {"reasoning": mode, "audit_share": 0}}
            modes[mode] = {"count": count, "rounds": _rounds(mode, groups, count, rounds)}
    return {
        "model": model.words,
        "on": "cpu" if model.settings["model"] == "demonstration" else "gpu",
        "modes": modes,
    }


def _rounds(
    mode: str, groups: dict[str, Any], count: int, rounds: int
) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in _SIDES}
    with ExitStack() as stack:
        sides = {}
        # one after the other: two that load at once would compete for the cores
        for name in _SIDES:
            sides[name] = stack.enter_context(_side(name, groups))
            print(f"efficiency: {name} is loaded, for {mode}", flush=True)
        for number in range(1, rounds + 1):
            # alternate, since the first one finds another machine than the last
            for name in _SIDES if number % 2 else reversed(_SIDES):
                found[name].append(_round(sides[name], count, number))
                rate, others = found[name][-1]["events_per_second"], _elsewhere(found[name][-1:])
                print(
                    f"efficiency: {mode}, round {number}, {name}: {rate:.1f} events/s,"
                    f" {others:.2f} cores taken by others",
                    flush=True,
                )
    return found


@contextmanager
def _side(name: str, settings: dict[str, Any]) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "benchmarks.efficiency.sides", name, json.dumps(settings)]
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            _answer(process)
            yield process
        finally:
            if process.stdin:
                process.stdin.close()
            process.wait()


def _round(process: "subprocess.Popen[str]", count: int, seed: int) -> dict[str, Any]:
    assert process.stdin is not None  # noqa: S101
    process.stdin.write(f"{count} {seed}\n")
    process.stdin.flush()
    return _answer(process)


def _answer(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None  # noqa: S101
    for line in process.stdout:
        # an engine prints other lines too
        if line.startswith("{"):
            figures: dict[str, Any] = json.loads(line)
            return figures
    raise RuntimeError(f"{process.args!r} ended without figures; see its stderr.")


def section(figures: dict[str, Any], pictures: Path) -> str:  # noqa: ARG001 - draws none
    """A table of both sides in each mode, and where the difference goes."""
    first = next(iter(figures["modes"].values()))
    counts = " or ".join(str(one["count"]) for one in figures["modes"].values())
    rounds = len(first["rounds"]["worker"])
    return (
        f"The same exchanges ({counts} per round) through Kafka → worker → Kafka (a backlog, from"
        " the takeover of the partitions to the last acknowledged verdict) and through one call of"
        f" `LLM.generate` that asks for the same, on {figures['model']}. Both use the same engine"
        " arguments, a prefix cache that contains only the shared part of the prompt, and a warm"
        f" engine; {rounds} alternating round{'s' if rounds > 1 else ''} of each.\n\n"
        + "\n".join(
            _mode(_MODES[mode], one, _GOALS[figures["on"]])
            for mode, one in figures["modes"].items()
        )
    )


def _mode(title: str, figures: dict[str, Any], goal: float) -> str:
    rounds = figures["rounds"]
    rates = {name: [r["events_per_second"] for r in rounds[name]] for name in _SIDES}
    shares = ratios(rates["worker"], rates["engine"])
    verdict = "which meets" if median(shares) >= goal else "below"
    head = ["", "events/s", "CPU ms per event: client", "broker", "engine", "tokens per event"]
    rows = [
        [
            _WORDS[name],
            spread(rates[name], ".1f"),
            *(
                _cpu(rounds[name], whose, figures["count"])
                for whose in ("client", "broker", "engine")
            ),
            f"{median([r['completion_tokens'] for r in rounds[name]]) / figures['count']:.1f}",
        ]
        for name in _SIDES
    ]
    return (
        f"{title}:\n\n{table(head, rows)}\n"
        f"**Worker / engine alone: {spread(shares, '.3f')}**, {verdict} the goal of {goal:.2f}."
        " Other processes on the machine used"
        f" {' and '.join(f'{_elsewhere(rounds[n]):.2f} cores during {_WORDS[n]}' for n in _SIDES)}"
        ".\n"
    )


def _elsewhere(rounds: list[dict[str, Any]]) -> float:
    return median([r["cpu_seconds"]["elsewhere"] / r["seconds"] for r in rounds])


def _cpu(rounds: list[dict[str, Any]], whose: str, count: int) -> str:
    return f"{median([r['cpu_seconds'][whose] for r in rounds]) / count * 1000:.2f}"
