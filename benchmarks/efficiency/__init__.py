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
_WORDS = {"engine": "`LLM.generate`", "worker": "Kafka → worker → Kafka"}
_GOALS = {"cpu": 0.90, "gpu": 0.97}


def measure(*, quick: bool) -> dict[str, Any]:
    """Rounds of both sides in turn, each side a process that keeps its engine."""
    count, rounds = (150, 1) if quick else (800, 4)
    with tempfile.TemporaryDirectory(prefix="guardstream-shape-") as folder, ExitStack() as stack:
        model = choose_model(Path(folder))
        sides = {}
        # one after the other: two that load at once would compete for the cores
        for name in _SIDES:
            sides[name] = stack.enter_context(_side(name, model.settings))
            print(f"efficiency: {name} is loaded", flush=True)
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in _SIDES}
        for number in range(1, rounds + 1):
            # alternate, since the first one finds another machine than the last
            for name in _SIDES if number % 2 else reversed(_SIDES):
                found[name].append(_round(sides[name], count, number))
                rate, others = found[name][-1]["events_per_second"], _elsewhere(found[name][-1:])
                print(
                    f"efficiency: round {number}, {name}: {rate:.1f} events/s,"
                    f" {others:.2f} cores taken by others",
                    flush=True,
                )
    return {
        "model": model.words,
        "on": "cpu" if model.settings["model"] == "demonstration" else "gpu",
        "count": count,
        "rounds": found,
    }


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
    """The table of both sides, and where the difference goes."""
    rounds = figures["rounds"]
    rates = {name: [r["events_per_second"] for r in rounds[name]] for name in _SIDES}
    shares = ratios(rates["worker"], rates["engine"])
    goal = _GOALS[figures["on"]]
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
        f"The same {figures['count']} exchanges per round through Kafka → worker → Kafka (a"
        " backlog, from the takeover of the partitions to the last acknowledged verdict) and"
        f" through one call of `LLM.generate`, on {figures['model']}. Both use the same engine"
        " arguments, a prefix cache that contains only the shared part of the prompt, and a warm"
        f" engine; {len(shares)} alternating round{'s' if len(shares) > 1 else ''} of each.\n\n"
        f"{table(head, rows)}\n"
        f"**Worker / engine alone: {spread(shares, '.3f')}**, {verdict} the goal of {goal:.2f}."
        " Other processes on the machine used"
        f" {' and '.join(f'{_elsewhere(rounds[n]):.2f} cores during {_WORDS[n]}' for n in _SIDES)}"
        ".\n"
    )


def _elsewhere(rounds: list[dict[str, Any]]) -> float:
    return median([r["cpu_seconds"]["elsewhere"] / r["seconds"] for r in rounds])


def _cpu(rounds: list[dict[str, Any]], whose: str, count: int) -> str:
    return f"{median([r['cpu_seconds'][whose] for r in rounds]) / count * 1000:.2f}"
