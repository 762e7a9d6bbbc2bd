"""Programs as processes: started, watched for the CPU and the memory that they take, and ended."""

import asyncio
import bisect
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Self

import psutil

from tests.chaos.guarded import guarded

WORKER = (sys.executable, "-m", "worker", "run")
"""The command that runs a worker; its settings are in the environment."""

_ROOT = Path(__file__).parents[1]
_POLL_SECONDS = 0.02
_STOP_SECONDS = 90.0
_NONE: Mapping[str, str] = MappingProxyType({})


class ProcessFailed(Exception):  # noqa: N818 - it is the process that failed
    """A process failed; the message names its log."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a process and all below it have taken.

    Attributes:
        at: Unix seconds.
        cpu_seconds: since it was started, of children that have ended too.
        resident_bytes: now.
    """

    at: float
    cpu_seconds: float
    resident_bytes: int


@dataclass(slots=True)
class Meter:
    """Reads what a process takes, again and again.

    Kafka reports only afterwards when a record was appended: the CPU at that time is looked up
    later.
    """

    pid: int
    readings: list[Reading] = field(default_factory=list)

    def read(self) -> None:
        """Add a reading; none of a process that is gone."""
        try:
            process = psutil.Process(self.pid)
            family = [process, *process.children(recursive=True)]
            cpu = sum(sum(_counted(member)) for member in family)
            resident = sum(member.memory_info().rss for member in family)
        except psutil.NoSuchProcess:
            return
        self.readings.append(Reading(time.time(), cpu, resident))

    def cpu_seconds(self, start: float, end: float) -> float:
        """What was taken between two moments, in Unix seconds, straight between readings."""
        return self._at(end) - self._at(start)

    def _at(self, moment: float) -> float:
        after = bisect.bisect([reading.at for reading in self.readings], moment)
        after = min(max(after, 1), len(self.readings) - 1)
        before, then = self.readings[after - 1], self.readings[after]
        share = min(max((moment - before.at) / (then.at - before.at), 0.0), 1.0)
        return before.cpu_seconds + share * (then.cpu_seconds - before.cpu_seconds)


class Process:
    """A program that runs until it is stopped, or until this one ends.

    As an asynchronous context it runs within, and must end well.

    Args:
        environment: added to this process's, without the settings of the worker.
        log: where its words go, after what is there.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] = _NONE
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("GUARDSTREAM_")},
            **environment,
        }
        self._running: subprocess.Popen[bytes] | None = None
        self.meter = Meter(-1)
        self.started_at = 0.0

    @property
    def pid(self) -> int:
        """Of the last start."""
        return self._started.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._running is not None and self._running.poll() is None

    def start(self) -> None:
        """Start it in the repository's root; from the main thread, whose end would be its own."""
        with self.log.open("ab") as words:
            self._running = subprocess.Popen(  # noqa: S603 - our own programs
                guarded(self._command),
                cwd=_ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
            )
        self.started_at = time.time()
        self.meter = Meter(self.pid)

    def require_running(self) -> None:
        """Do nothing while it runs.

        Raises:
            ProcessFailed: it ended by itself.
        """
        if not self.running:
            code = self._started.returncode
            raise ProcessFailed(f"{self.name} ended by itself with {code}; see {self.log}.")

    async def stop(self, codes: Sequence[int] = (0,)) -> None:
        """Send SIGTERM, and wait.

        Raises:
            ProcessFailed: it did not end in time, or with none of these exit statuses.
        """
        self.require_running()
        self._started.send_signal(signal.SIGTERM)
        code = await self.wait(_STOP_SECONDS)
        if code not in codes:
            raise ProcessFailed(f"{self.name} ended with {code} after SIGTERM; see {self.log}.")

    async def wait(self, seconds: float) -> int:
        """Wait for its end; its exit status.

        Raises:
            ProcessFailed: it runs on, and was killed.
        """
        try:
            async with asyncio.timeout(seconds):
                while self.running:  # noqa: ASYNC110 - works from any event loop
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            self.kill()
            raise ProcessFailed(
                f"{self.name} ran on for {seconds:.0f} s, and was killed; see {self.log}."
            ) from None
        return int(self._started.returncode)

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self.running:
            self._started.kill()
            self._started.wait()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self.stop()
        finally:
            self.kill()

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        assert self._running is not None, "start() comes first"  # noqa: S101
        return self._running


async def run_until_exit(command: Sequence[str]) -> tuple[int, str]:
    """A program's exit status, and its last line on stderr."""
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


def settings_variables(groups: Mapping[str, str]) -> dict[str, str]:
    """The environment that sets these of a worker: `INPUT__GROUP_ID` and the like."""
    return {f"GUARDSTREAM_{name}": value for name, value in groups.items()}


def _counted(process: psutil.Process) -> tuple[float, float, float, float]:
    times = process.cpu_times()
    return times.user, times.system, times.children_user, times.children_system
