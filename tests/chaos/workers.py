"""Workers as processes of the operating system, started anew by a small platform when they end."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.guarded import guarded

_ROOT = Path(__file__).parents[2]
_POLL_SECONDS = 0.1
_RESTART_SECONDS = 1.0
_MOST_STOP_SECONDS = 90.0

# How the simulated engine of a worker misbehaves, until the worker is started anew.
ENGINES: Mapping[str, Mapping[str, str]] = {
    "calm": {},
    "fails": {"SIMULATED__FAILURE_RATE": "0.1", "ATTEMPTS": "8"},
    "hangs": {"SIMULATED__HANG_RATE": "0.002", "REQUEST_TIMEOUT_SECONDS": "2", "ATTEMPTS": "4"},
    "dies in place": {
        "SIMULATED__DEATH_RATE": "0.001",
        "ON_DEATH": "restart",
        "RESTARTS": "100000",
    },
    "dies and exits": {"SIMULATED__DEATH_RATE": "0.0005", "ON_DEATH": "exit"},
}


def worker_command(mutant: str | None = None) -> list[str]:
    """What runs a worker; a mutant's launcher breaks it first."""
    module = ["worker"] if mutant is None else ["tests.chaos.mutants", mutant]
    return [sys.executable, "-m", *module, "run"]


@dataclass(frozen=True, slots=True)
class Exit:
    """A worker's end that nobody ordered, or that went wrong."""

    worker: str
    at: float
    code: int
    last_words: str

    @property
    def is_explained(self) -> bool:
        """Whether it ended as a worker may: in one sentence, with exit code 1."""
        return self.code == 1 and self.last_words.startswith("guardstream:")


@dataclass(slots=True, eq=False)
class WorkerProcess:
    """One worker; it dies with this process, should that be killed."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    engine: str = "calm"
    starts: int = 0
    wanted: bool = False
    exits: list[Exit] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the last start."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it is alive, stopped or not."""
        return self._process is not None and self._process.poll() is None

    def start(self, engine: str) -> None:
        """Start it; from the main thread only, whose end would be its own."""
        self.engine = engine
        settings = {f"GUARDSTREAM_ENGINE__{k}": v for k, v in ENGINES[engine].items()}
        foreign = {k: v for k, v in os.environ.items() if not k.startswith("GUARDSTREAM_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                guarded(list(self.command)),
                cwd=_ROOT,
                env=foreign | dict(self.environment) | settings,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1
        self.wanted = True

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def kill(self) -> None:
        """Kill -9."""
        self.wanted = False
        if self.running:
            self.send(signal.SIGKILL)
        while self.running:
            await asyncio.sleep(_POLL_SECONDS)

    async def stop(self) -> Exit | None:
        """SIGTERM, and wait for the end; says what was wrong with it, if anything was."""
        self.wanted = False
        if not self.running:
            return None
        asked_at = time.time()
        self.send(signal.SIGTERM)
        while self.running:
            if time.time() - asked_at > _MOST_STOP_SECONDS:
                await self.kill()
                late = f"still there {_MOST_STOP_SECONDS:.0f} s after SIGTERM"
                return Exit(self.name, asked_at, -signal.SIGKILL, late)
            await asyncio.sleep(_POLL_SECONDS)
        end = self.last_exit()
        # a young one dies of the signal itself, before it listens to it
        return None if end.code in (0, -signal.SIGTERM) else end

    def last_exit(self) -> Exit:
        """How it ended."""
        assert self._process is not None
        lines = self.log.read_text(errors="replace").rstrip().splitlines()
        return Exit(self.name, time.time(), self._process.returncode, lines[-1] if lines else "")


class Platform:
    """Keeps workers running, as a container platform does.

    Args:
        engines: the kinds of `ENGINES` that a start may draw.
    """

    def __init__(
        self,
        count: int,
        *,
        folder: Path,
        environment: Mapping[str, str],
        command: Sequence[str],
        engines: Sequence[str],
        seed: int,
        on_engine: Callable[[str, str], None],
    ) -> None:
        self.workers = [
            WorkerProcess(f"worker-{n}", command, environment, folder / f"worker-{n}.log")
            for n in range(count)
        ]
        self.exits: list[Exit] = []
        self.is_calm = False
        self._engines = engines
        self._random = random.Random(seed)
        self._on_engine = on_engine

    def start(self, worker: WorkerProcess) -> None:
        """Start a worker with whatever engine it draws."""
        engine = "calm" if self.is_calm else self._random.choice(self._engines)
        worker.start(engine)
        if engine != "calm":
            self._on_engine(engine, worker.name)

    async def keep_up(self) -> None:
        """Start again whoever ends unasked; runs until cancelled."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            for worker in self.workers:
                if worker.wanted and not worker.running:
                    self.exits.append(worker.last_exit())
                    worker.wanted = False
                    await asyncio.sleep(_RESTART_SECONDS)
                    self.start(worker)

    async def stop(self) -> None:
        """End all in good order, at once; what was wrong with it joins the exits."""
        ends = await asyncio.gather(*(worker.stop() for worker in self.workers))
        self.exits += [end for end in ends if end is not None]

    def abandon(self) -> None:
        """Kill whoever is left; for when all goes wrong."""
        for worker in self.workers:
            if worker.running:
                worker.send(signal.SIGKILL)

    def says(self, words: str) -> int:
        """How often the workers have logged these words."""
        return sum(
            worker.log.read_text(errors="replace").count(words)
            for worker in self.workers
            if worker.log.exists()
        )
