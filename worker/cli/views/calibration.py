"""A calibration as tables at a terminal."""

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.text import Text

from worker.cli.views.evaluation import WIDTH_OF_FILES, table
from worker.domain.escaping import printable
from worker.evaluation.calibration_tables import (
    LIMIT_COLUMNS,
    STAGE_COLUMNS,
    limit_rows,
    mode_columns,
    mode_rows,
    released,
    stage_rows,
)
from worker.runtime.calibration_document import CalibrationFile


def show_calibration(document: CalibrationFile) -> None:
    """Print tables by question and by mode, and which modes are released."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_OF_FILES)
    for part in _parts(document):
        console.print(part)


def _parts(document: CalibrationFile) -> Iterator[RenderableType]:
    data, engine = document.data, document.engine
    yield Text(
        f"{printable(document.guard.model)} on {printable(data.file)}: {data.events} events"
        f" with scores, {printable(engine.name)} {printable(engine.version)}",
        "bold",
    )
    if engine.name == "simulated":
        yield Text("The simulated engine judges nothing: its figures mean nothing.", "yellow")
    yield ""
    yield table(STAGE_COLUMNS, stage_rows(document))
    yield ""
    yield table(LIMIT_COLUMNS, limit_rows(document))
    yield ""
    yield table(mode_columns(document), mode_rows(document))
    yield ""
    for line in released(document):
        yield Text(line)
