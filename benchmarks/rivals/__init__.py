"""Guardstream compared with the usual hand-written worker, each with its own vLLM."""

import asyncio
from pathlib import Path
from typing import Any

from benchmarks.rivals import report
from benchmarks.rivals.measurement import FULL, QUICK, measure_all

TITLE = "Comparison with the usual worker, on a real engine"


def measure(*, quick: bool) -> dict[str, Any]:
    """See `benchmarks.measuring.Part`."""
    return asyncio.run(measure_all(QUICK if quick else FULL))


def section(figures: dict[str, Any], pictures: Path) -> str:
    """See `benchmarks.measuring.Part`."""
    return report.write(figures, pictures)
