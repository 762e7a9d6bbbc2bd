"""The command line: one module per command, with arguments and output only."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.domain.errors import GuardstreamError, WrongSetting

if TYPE_CHECKING:
    from worker.runtime.settings import Settings

app = typer.Typer(
    name="guardstream",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="GUARDSTREAM_CONFIG",
        help="YAML file of settings; GUARDSTREAM_* variables win over it.",
        show_default=False,
    ),
]


def read_settings(config: Path | None = None, **overrides: dict[str, Any]) -> "Settings":
    """Load the settings, and configure the logs accordingly.

    Raises:
        WrongSetting: see `load_settings`.
    """
    from worker.runtime.logs import install_logs
    from worker.runtime.settings import load_settings

    settings = load_settings(config, **overrides)
    install_logs(settings.log.level, settings.log.format)
    return settings


def run_async(work: Coroutine[Any, Any, None]) -> None:
    """Run the work of a command until it ends, or until its output is closed."""
    try:
        asyncio.run(work)
    except BrokenPipeError:
        # flushing the buffer would fail again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None


def register() -> None:
    """Register all commands."""
    from worker.cli import (  # noqa: F401 - each registers its command
        calibrate,
        check,
        compare,
        config,
        decide,
        demo,
        evaluate,
        inspect,
        judge,
        mapping,
        parse,
        policy,
        produce,
        redrive,
        render,
        run,
        schema,
        size,
        tail,
        top,
        topics,
        version,
    )


def main() -> None:
    """Run a command: exit 0 done, 1 failed, 2 usage, 130 interrupted."""
    register()
    try:
        app(prog_name="guardstream")
    except WrongSetting as error:
        typer.echo(f"guardstream: {error}", err=True)
        sys.exit(2)
    except GuardstreamError as error:
        typer.echo(f"guardstream: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # the reader closed the pipe
        sys.stderr.close()
        sys.exit(0)
