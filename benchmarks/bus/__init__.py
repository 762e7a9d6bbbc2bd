"""The bus path: Guardstream beside a bare loop and what people would use, with a free engine."""

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
