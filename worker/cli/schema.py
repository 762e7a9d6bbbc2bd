"""`guardstream schema`: the contracts as documents."""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli import app


@app.command()
def schema(
    folder: Annotated[Path, typer.Argument(help="Where to write them.")] = Path("schemas"),
) -> None:
    """Write the JSON Schemas and the AsyncAPI document, generated from the models."""
    from worker.operator.schemas import documents

    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (folder / name).write_text(text, encoding="utf-8")
        typer.echo(str(folder / name))
