"""A contender's process: started, watched for the CPU it and its children take, and ended."""

import asyncio
import bisect
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_TICKS = os.sysconf("SC_CLK_TCK")
_STOP_SECONDS = 60.0


class Failed(Exception):  # noqa: N818
    """A process did not do what it was started for; says where its own words are."""


@dataclass(slots=True)
class Meter:
    """CPU seconds of a process and all below it, read again and again.

    Kafka says only afterwards when a record was appended, so the CPU at that moment is looked up.
    """

    pid: int
    times: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def read(self) -> None:
        """Add what they have taken until now."""
        now, used = time.time(), _cpu_seconds(self.pid)
        if used is not None:
            self.times.append(now)
            self.seconds.append(used)

    def between(self, start: float, end: float) -> float:
        """CPU seconds between two moments, Unix seconds."""
        return self._at(end) - self._at(start)

    def _at(self, moment: float) -> float:
        after = min(max(bisect.bisect(self.times, moment), 1), len(self.times) - 1)
        (t0, t1), (s0, s1) = self.times[after - 1 : after + 1], self.seconds[after - 1 : after + 1]
        share = min(max((moment - t0) / (t1 - t0), 0.0), 1.0)
        return s0 + share * (s1 - s0)


@dataclass(slots=True)
class Process:
    """A program that runs until it is told to end, with its words in a file."""

    name: str
    running: asyncio.subprocess.Process
    log: Path
    meter: Meter

    @classmethod
    async def start(cls, name: str, command: Sequence[str], log: Path) -> "Process":
        """Start it in the repository's root."""
        with log.open("wb") as words:
            running = await asyncio.create_subprocess_exec(
                *command, cwd=_ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=words, stderr=words
            )
        return cls(name, running, log, Meter(running.pid))

    def require_running(self) -> None:
        """Raises `Failed` if it ended by itself."""
        if self.running.returncode is not None:
            raise Failed(
                f"{self.name} ended by itself with {self.running.returncode}; see {self.log}."
            )

    async def stop(self) -> None:
        """Tell it to end, and wait.

        Raises:
            Failed: it did not in a minute, and was killed.
        """
        if self.running.returncode is not None:
            return
        self.running.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self.running.wait()
        except TimeoutError:
            raise Failed(f"{self.name} ran on after SIGTERM; see {self.log}.") from None
        finally:
            if self.running.returncode is None:
                self.running.kill()
                await self.running.wait()


async def run_until_exit(command: Sequence[str]) -> tuple[int, str]:
    """A program's exit status and the last line it said on stderr."""
    running = await asyncio.create_subprocess_exec(
        *command, cwd=_ROOT, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            _, said = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    lines = said.decode(errors="replace").strip().splitlines()
    return running.returncode or 0, lines[-1] if lines else ""


def _cpu_seconds(pid: int) -> float | None:
    """Of a process, its children that ended, and all that live below it; None once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        below = [child for thread in threads for child in _children(thread)]
    except (FileNotFoundError, ProcessLookupError):
        return None
    # utime, stime, cutime, cstime
    used = sum(int(ticks) for ticks in fields[11:15]) / _TICKS
    return used + sum(_cpu_seconds(child) or 0.0 for child in below)


def _children(thread: Path) -> list[int]:
    try:
        return [int(child) for child in (thread / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
