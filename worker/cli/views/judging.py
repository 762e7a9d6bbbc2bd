"""How far `judge` is: a bar on a terminal, a line from time to time in a log."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_LINE_SECONDS = 30.0
_LEAST_SECONDS = 0.001


class JudgingView:
    """Shows progress on stderr.

    Args:
        total: the position at the end of the input, if it is known.
        position: where this run starts.
        unit: what positions count: `B` or `rows`.
    """

    def __init__(self, *, total: int | None, position: int, unit: str) -> None:
        self._total, self._start, self._unit = total, position, unit
        self._console = Console(stderr=True, highlight=False)
        self._is_terminal = self._console.is_terminal
        self._began = self._said = time.monotonic()
        self._exchanges = 0
        self._progress = Progress(
            TextColumn("Judging"),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._is_terminal,
        )
        # the speed of this run decides, not what earlier ones have done
        self._task: TaskID = self._progress.add_task("", total=None if total is None else total)

    def __enter__(self) -> Self:
        self._progress.start()
        self._progress.update(self._task, completed=self._start)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def update(self, position: int, exchanges: int) -> None:
        """Show where the input is read, and how many exchanges this run has judged."""
        now = time.monotonic()
        self._exchanges = exchanges
        if self._is_terminal:
            self._progress.update(
                self._task, completed=position, description=self._description(position, now)
            )
        elif now - self._said >= _LINE_SECONDS:
            self._said = now
            self._console.print(
                f"guardstream: {self._description(position, now)}{self._left(position, now)}",
                soft_wrap=True,
            )

    @property
    def rate(self) -> float:
        """Exchanges a second, so far."""
        return self._exchanges / max(time.monotonic() - self._began, _LEAST_SECONDS)

    def _description(self, position: int, now: float) -> str:
        rate = self._exchanges / max(now - self._began, _LEAST_SECONDS)
        done = self._shown(position)
        if self._total:
            done = f"{done} of {self._shown(self._total)} ({position / self._total:.0%})"
        return f"{done}, {self._exchanges:,} exchanges, {rate:,.0f}/s"

    def _left(self, position: int, now: float) -> str:
        read = position - self._start
        if not self._total or not read:
            return ""
        seconds = (now - self._began) / read * (self._total - position)
        minutes, seconds = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f", {hours}:{minutes:02}:{seconds:02} left"

    def _shown(self, position: int) -> str:
        return decimal(position) if self._unit == "B" else f"{position:,} rows"
