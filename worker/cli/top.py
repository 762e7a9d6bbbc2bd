"""`guardstream top`: a live console of workers."""

import asyncio
import io
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import app, run_async
from worker.cli.lines import write_line

if TYPE_CHECKING:
    from rich.layout import Layout

    from worker.operator.top.watching import WatchedWorkers


@app.command()
def top(
    urls: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[URL]...",
            help="Workers' health ports, as host:port or URLs; localhost:8080 without any.",
            show_default=False,
        ),
    ] = None,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    window: Annotated[
        float, typer.Option(min=0.0, help="Seconds that rates, shares and percentiles are over.")
    ] = 30.0,
    once: Annotated[bool, typer.Option("--once", help="One frame after two looks.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON Lines, for programs.")] = False,
    svg: Annotated[
        Path | None, typer.Option(hidden=True, help="Draw every frame into this file as well.")
    ] = None,
) -> None:
    """Watch workers live: lag, rates, latencies, the engine, verdicts.

    Reads /metrics and /recent of each worker, so a port-forward is enough.
    Without a terminal it shows one frame and ends. Ctrl-C or q ends it.
    """
    from worker.operator.top.watching import WatchedWorkers, base_url, open_session

    try:
        bases = list(dict.fromkeys(base_url(url) for url in urls or ["localhost"]))
    except ValueError as error:
        raise typer.BadParameter(
            f"{error} is not the address of a worker: give host, host:port or a URL",
            param_hint="URL",
        ) from None
    once = once or not (json or sys.stdout.isatty())

    async def work() -> None:
        async with open_session() as session:
            watched = WatchedWorkers(bases, session, window)
            async with aclosing(watched.rounds(interval)) as rounds:
                await anext(rounds)
                watched.require_one()
                if once:
                    await anext(rounds)
                    watched.require_one()
                if json:
                    await _write(watched, rounds, once=once)
                elif once:
                    _print(watched, svg)
                else:
                    await _show(watched, rounds, svg)

    try:
        run_async(work())
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit from None


async def _write(watched: "WatchedWorkers", rounds: AsyncIterator[None], *, once: bool) -> None:
    write_line(watched.view())
    while not once:
        await anext(rounds)
        write_line(watched.view())


def _print(watched: "WatchedWorkers", svg: Path | None) -> None:
    from rich.console import Console

    console = Console()
    drawn, height = _draw(watched, console.width)
    console.print(drawn, height=height)
    _keep(drawn, console.width, height, svg)


async def _show(watched: "WatchedWorkers", rounds: AsyncIterator[None], svg: Path | None) -> None:
    from rich.console import Console
    from rich.live import Live

    from worker.cli.views.top.keyboard import END, on_key

    console = Console()
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - for mypy: this is a coroutine
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with (
        on_key(lambda keys: task.cancel() if {"q", END} & set(keys) else None),
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            drawn, _ = _draw(watched, console.width, console.height)
            live.update(drawn, refresh=True)
            _keep(drawn, console.width, console.height, svg)
            await anext(rounds)


def _draw(watched: "WatchedWorkers", width: int, height: int | None = None) -> "tuple[Layout, int]":
    from worker.cli.views.top.frames import FrameTime, frame

    now = FrameTime(time.monotonic(), time.time())
    return frame(watched.view(), watched.flows, now, width=width, height=height)


def _keep(drawn: "Layout", width: int, height: int, svg: Path | None) -> None:
    from rich.console import Console

    if svg:
        paper = Console(
            record=True,
            file=io.StringIO(),
            force_terminal=True,
            color_system="truecolor",
            width=width,
            height=height,
        )
        paper.print(drawn, height=height)
        paper.save_svg(str(svg), title="guardstream top")
