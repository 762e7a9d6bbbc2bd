"""A file of figures that grows line by line, and the time that is left to measure."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import machine, versions

FILE = "figures.jsonl"
_QUERY = "--query-gpu=name,driver_version,memory.total"


class Budget:
    """The seconds that a measurement may take in total, from now."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._began = clock()

    @property
    def passed(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._began

    @property
    def left(self) -> float:
        """Seconds that are left, never less than 0."""
        return max(0.0, self._seconds - self.passed)


class FiguresFile:
    """Figures, each on the disk as soon as it is known: a run that is cut off leaves the others."""

    def __init__(self, folder: Path, budget: Budget) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE
        self._budget = budget

    def write(self, part: str, **figures: Any) -> None:
        """Append a line, and force it to the disk."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        after = round(self._budget.passed, 1)
        line = json.dumps({"part": part, "at": at, "after": after, **figures})
        with self._path.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        print(line, flush=True)


def read_figures(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The figures of a file; a last line that was cut off is left out.

    Raises:
        ValueError: another line is no figure.
    """
    given = [line for line in lines if line.strip()]
    found = []
    for number, line in enumerate(given, 1):
        try:
            figure = json.loads(line)
        except ValueError:
            if number == len(given):
                break
            raise ValueError(f"line {number} of the figures is no JSON: {line[:60]!r}") from None
        if not isinstance(figure, dict) or "part" not in figure:
            raise ValueError(f"line {number} of the figures names no part: {line[:60]!r}")
        found.append(figure)
    return found


def card() -> dict[str, str] | None:
    """The GPU's name, driver and memory; None where there is no GPU."""
    try:
        answer = subprocess.run(  # noqa: S603
            ["nvidia-smi", _QUERY, "--format=csv,noheader"],  # noqa: S607
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout
        name, driver, memory = (field.strip() for field in answer.splitlines()[0].split(","))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    return {"name": name, "driver": driver, "memory": memory}


def place() -> dict[str, Any]:
    """The machine, and the versions of what is measured."""
    return {"card": card(), "machine": machine(), "versions": versions()}
