"""The bus path: Guardstream, a bare loop and alternatives, with an engine that costs nothing."""

import asyncio
from pathlib import Path
from typing import Any

from benchmarks.bus import report
from benchmarks.bus.measurement import FULL, QUICK, measure_all

TITLE = "The bus path"


def measure(*, quick: bool) -> dict[str, Any]:
    """See `benchmarks.measuring.Part`."""
    return asyncio.run(measure_all(QUICK if quick else FULL))


def section(figures: dict[str, Any], pictures: Path) -> str:
    """See `benchmarks.measuring.Part`."""
    return report.write(figures, pictures)
