"""Workers as processes of the operating system, started anew by a small platform when they end."""

import asyncio
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from tests.chaos import alone
from tests.chaos.guarded import guarded
from tests.chaos.liveness import Liveness
from tests.chaos.oracle import Violation
from tests.chaos.poisoned import LOG_VARIABLE, PoisonLog
from worker.demo.kafka.broker import free_ports

_ROOT = Path(__file__).parents[2]
_POLL_SECONDS = 0.1
RESTART_SECONDS = 1.0
_MOST_STOP_SECONDS = 90.0
_PROBE_SECONDS = 1.0
_RAISED = re.compile(r"guardstream:|\w+(?:\.\w+)*Error\b")
# addresses, offsets and ids differ from line to line
_NUMBERS = re.compile(r"\d+")

TWINS = "two of one name"
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


def worker_command(mutant: str | None = None, *, poisoned: bool = False) -> list[str]:
    """What runs a worker; a launcher breaks it first, or lets marked prompts do harm in it."""
    module = ["tests.chaos.poisoned"] if poisoned else ["worker"]
    if mutant is not None:
        module = ["tests.chaos.mutants", mutant]
    return [sys.executable, "-m", *module, "run"]


@dataclass(frozen=True, slots=True)
class Exit:
    """A worker's end that nobody ordered, or that went wrong."""

    worker: str
    at: float
    code: int
    last_words: str
    pid: int = 0

    @property
    def is_explained(self) -> bool:
        """Whether it ended as a worker may: in one sentence, with exit code 1."""
        return self.code == 1 and self.last_words.startswith("guardstream:")


@dataclass(slots=True, eq=False)
class WorkerProcess:
    """One worker; it dies with this process, should that be killed.

    Attributes:
        port: of its health server; 0 leaves that to the environment.
        instance_id: its static name in the group, if it has one.
        frozen: whether it was stopped by a signal and not continued.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    engine: str = "calm"
    starts: int = 0
    wanted: bool = False
    port: int = 0
    instance_id: str | None = None
    frozen: bool = False
    exits: list[Exit] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _log_began: int = 0

    @property
    def has_joined(self) -> bool:
        """Whether the process has been in the group since its start."""
        return b"Assigned " in self.log.read_bytes()[self._log_began :]

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
        if self.port:
            # another program may have taken the last one
            self.port = free_ports(1)[0]
            settings["GUARDSTREAM_HEALTH__PORT"] = str(self.port)
        if self.instance_id is not None:
            settings["GUARDSTREAM_INPUT__GROUP_INSTANCE_ID"] = self.instance_id
        self.frozen = False
        self._log_began = self.log.stat().st_size if self.log.exists() else 0
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
        self.frozen = number == signal.SIGSTOP
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
                return Exit(self.name, asked_at, -signal.SIGKILL, late, self.pid)
            await asyncio.sleep(_POLL_SECONDS)
        end = self.last_exit()
        # a young one dies of the signal itself, before it listens to it
        return None if end.code in (0, -signal.SIGTERM) else end

    def abandon(self) -> None:
        """Kill it, if it runs, and wait for the end; for when all goes wrong."""
        if self._process is not None and self.running:
            self.send(signal.SIGKILL)
            self._process.wait()

    def last_exit(self) -> Exit:
        """How it ended."""
        assert self._process is not None
        lines = self.log.read_text(errors="replace").rstrip().splitlines()
        last_words = lines[-1] if lines else ""
        return Exit(self.name, time.time(), self._process.returncode, last_words, self.pid)


class Platform:
    """Keeps workers running, as a container platform does.

    Args:
        engines: the kinds of `ENGINES` that a start may draw.
        instances: the beginning of the workers' static names in the group, if they have any.
        poison_log: where workers write down that a poison record ends them.

    Attributes:
        exits: of those that ended unasked, or not as they were asked to.
        silent: process ids of those that were killed because `/livez` no longer answered.
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
        instances: str | None = None,
        poison_log: Path | None = None,
    ) -> None:
        self._folder = folder
        self._poison = PoisonLog(poison_log or folder / "poison.log")
        self.exits: list[Exit] = []
        self.silent: list[int] = []
        self.is_calm = False
        self._engines = engines
        self._random = random.Random(seed)
        self._on_engine = on_engine
        # a variable of the platform's own, beside the settings
        self._alone = folder / "alone.log"
        self._environment = {
            **environment,
            LOG_VARIABLE: str(self._poison.path),
            alone.LOG_VARIABLE: str(self._alone),
        }
        self._command = command
        ports = free_ports(count)
        self.workers = [
            self._worker(f"worker-{n}", port, f"{instances}-{n}" if instances else None)
            for n, port in enumerate(ports)
        ]

    def start(self, worker: WorkerProcess) -> None:
        """Start a worker with whatever engine it draws.

        Does nothing if it runs already or was removed: two tasks may restart the same worker.
        """
        if worker.running or worker not in self.workers:
            return
        engine = "calm" if self.is_calm else self._random.choice(self._engines)
        worker.start(engine)
        if engine != "calm":
            self._on_engine(engine, worker.name)

    def start_twin(self, worker: WorkerProcess) -> WorkerProcess:
        """Start one more worker with the static name of another."""
        name = f"{worker.name.partition('.')[0]}.{time.monotonic_ns() // 1_000_000}"
        twin = self._worker(name, free_ports(1)[0], worker.instance_id)
        self.workers.append(twin)
        twin.start("calm")
        return twin

    def judge_twins(self, older: WorkerProcess, twin: WorkerProcess) -> Violation | None:
        """What was wrong with how two workers of one name parted; None if nothing was."""
        if not older.running:
            end = older.last_exit()
            self.exits.append(end)
            named = end.is_explained and str(older.instance_id) in end.last_words
            # its engine or a poison record may have ended it first
            other = end.is_explained and "engine" in end.last_words.lower()
            if named or other or self._poison.ended(end.pid):
                return None
            return Violation(TWINS, f"{older.name} ended with {end.code}: {end.last_words}", end.at)
        if not twin.running:
            end = twin.last_exit()
            if self._poison.ended(end.pid):
                return None
            told = f"the younger {twin.name} ended with {end.code}: {end.last_words}"
            return Violation(TWINS, told, end.at)
        told = f"{older.name} and {twin.name} both still run"
        return Violation(TWINS, told, time.time())

    async def keep_one(self, older: WorkerProcess, twin: WorkerProcess) -> None:
        """End one of two workers of one name: the older, unless it alone is left."""
        keep, leave = (twin, older) if twin.running or not older.running else (older, twin)
        await leave.kill()
        self.workers.remove(leave)
        keep.wanted = True

    async def keep_up(self) -> None:
        """Restart workers that end unasked, and end those that do not answer, until cancelled."""
        async with Liveness() as liveness, asyncio.TaskGroup() as group:
            group.create_task(self._restart())
            group.create_task(self._probe(liveness))

    async def stop(self) -> None:
        """End all in good order, at once; what was wrong with it joins the exits."""
        ends = await asyncio.gather(*(worker.stop() for worker in self.workers))
        self.exits += [end for end in ends if end is not None]

    def abandon(self) -> None:
        """Kill whoever is left; for when all goes wrong."""
        for worker in self.workers:
            worker.abandon()

    def unexplained(self) -> list[Exit]:
        """The ends for which neither the worker nor a poison record gives a reason."""
        return [e for e in self.exits if not e.is_explained and not self._poison.ended(e.pid)]

    def poison_deaths(self) -> dict[str, Counter[int]]:
        """By kind: how often each poison record ended or froze a worker, or killed an engine."""
        return self._poison.deaths()

    def excused(self) -> set[tuple[int, int]]:
        """The records, by partition and offset, that the harness made look like poison."""
        log = self._alone.read_text() if self._alone.exists() else ""
        return alone.excused(log, self._poison.pids())

    def says(self, words: str) -> int:
        """How often the workers have logged these words."""
        return sum(text.count(words) for text in self._logs())

    def complaints(self, about: re.Pattern[str]) -> Counter[str]:
        """The warnings and errors of the workers that match, and how often there was each."""
        lines = (line for text in self._logs() for line in text.splitlines())
        return Counter(
            said for line in lines if (said := _complaint(line)) is not None and about.search(said)
        )

    def _worker(self, name: str, port: int, instance_id: str | None) -> WorkerProcess:
        log = self._folder / f"{name}.log"
        worker = WorkerProcess(name, self._command, self._environment, log)
        worker.port, worker.instance_id = port, instance_id
        return worker

    def _logs(self) -> Iterator[str]:
        for path in sorted(self._folder.glob("worker-*.log")):
            yield path.read_text(errors="replace")

    async def _restart(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            for worker in list(self.workers):
                if worker.wanted and not worker.running:
                    self.exits.append(worker.last_exit())
                    worker.wanted = False
                    await asyncio.sleep(RESTART_SECONDS)
                    self.start(worker)

    async def _probe(self, liveness: Liveness) -> None:
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            running = [worker for worker in self.workers if worker.running]
            seen = [(worker, worker.pid) for worker in running]
            silent = await asyncio.gather(
                *(liveness.is_silent(pid, worker.port, worker.frozen) for worker, pid in seen)
            )
            for (worker, pid), ends in zip(seen, silent, strict=True):
                # it may have been ended and started again meanwhile, or frozen by a fault
                if ends and worker.running and worker.pid == pid and not worker.frozen:
                    self.silent.append(pid)
                    worker.send(signal.SIGKILL)


def _complaint(line: str) -> str | None:
    """What a line of a worker's log says, if it is a warning or worse; libraries' lines too."""
    try:
        told = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line if _RAISED.match(line) else None
    if not isinstance(told, dict) or told.get("level") not in ("warning", "error", "critical"):
        return None
    return _NUMBERS.sub("#", str(told.get("event", "")))
