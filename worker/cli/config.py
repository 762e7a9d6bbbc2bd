"""`guardstream config`: shows, checks and describes the settings."""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli import Config, app
from worker.cli.lines import write_line

config_app = typer.Typer(
    name="config", no_args_is_help=True, help="Show, check and describe the settings."
)
app.add_typer(config_app)


@config_app.command()
def show(
    config: Config = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only settings that differ from their default.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON Lines, for programs.")] = False,
) -> None:
    """Show the settings in effect, and where each was set; secrets are masked.

    The output is a settings file.
    """
    from rich.console import Console
    from rich.text import Text

    from worker.runtime.settings.effective import as_file, effective_settings

    found = [one for one in effective_settings(config) if one.changed or not changed]
    if json:
        for one in found:
            write_line(one)
        return
    console = Console(soft_wrap=True)
    for line, comment in as_file(found):
        text = Text(line)
        if comment:
            text.append(f"  # {comment}", style="dim")
        console.print(text)


@config_app.command()
def lint(
    file: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            envvar="GUARDSTREAM_CONFIG",
            help="YAML file of settings; without it, only the variables are checked.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON Lines, for programs.")] = False,
) -> None:
    """List all faults of a settings file and of the GUARDSTREAM_* variables.

    Misspelt names are found, and input.mapping is loaded. Exit code 1 if there is a fault.
    """
    from worker.runtime.settings.lint import lint_settings

    count, faults = lint_settings(file)
    for fault in faults:
        if json:
            write_line({"setting": fault.setting, "where": fault.where, "fault": fault.what})
        else:
            typer.echo(fault.line)
    if faults:
        raise typer.Exit(1)
    if not json:
        typer.echo(f"{count} {'setting is' if count == 1 else 'settings are'} set, no faults")


@config_app.command()
def schema() -> None:
    """Print the JSON Schema of the settings file, for editors and other programs."""
    import json

    from worker.runtime.settings.schema import settings_schema

    typer.echo(json.dumps(settings_schema(), indent=2))


@config_app.command()
def init() -> None:
    """Print a settings file to start with: every setting, with its default and description."""
    from worker.runtime.settings.starter import starter_file

    typer.echo(starter_file(), nl=False)
