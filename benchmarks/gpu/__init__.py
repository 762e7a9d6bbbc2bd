"""The worker compared with its engine on a GPU: a kit for a bare machine, and its section.

`python -m benchmarks.gpu` packs, measures and reports; README.md shows the steps in order. Modules
that run before anything is installed (`pieces`, `unpack`) import the standard library only.
"""

from pathlib import Path
from typing import Any

TITLE = "On a GPU"


def section(figures: dict[str, Any], pictures: Path) -> str:  # noqa: ARG001 - draws none
    """The figures that were measured on a GPU machine, as tables."""
    from benchmarks.gpu.report import section_of  # noqa: PLC0415 - not on the bare machine

    return section_of(figures["lines"])
