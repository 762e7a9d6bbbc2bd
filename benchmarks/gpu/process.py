"""A side as a process: requests to it, with a time limit, and its end."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_END_SECONDS = 20.0


class SideError(RuntimeError):
    """A side ended, or did not answer in time."""


class Side:
    """A process that answers requests; it and its children end with the block."""

    def __init__(self, name: str, given: dict[str, Any], log: Path) -> None:
        self._name = name
        self._log = log
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._stderr = log.open("ab")
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "benchmarks.gpu.sides", name, json.dumps(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)
        self._lines.put(None)

    def ready(self, seconds: float) -> None:
        """Wait until it has loaded its engine.

        Raises:
            SideError: it ended, or the time is over.
        """
        self._answer(seconds)

    def ask(self, seconds: float, **request: Any) -> dict[str, Any]:
        """Send a request, and wait for its answer.

        Raises:
            SideError: it ended, or the time is over.
        """
        stdin = self._process.stdin
        try:
            if stdin is not None:
                stdin.write(json.dumps(request) + "\n")
                stdin.flush()
        except OSError as error:
            raise SideError(f"{self._name} has ended; see {self._log.name}") from error
        return self._answer(seconds)

    def _answer(self, seconds: float) -> dict[str, Any]:
        while True:
            try:
                line = self._lines.get(timeout=max(0.1, seconds))
            except queue.Empty:
                raise SideError(f"{self._name} did not answer in {seconds:.0f} s") from None
            if line is None:
                raise SideError(f"{self._name} has ended; see {self._log.name}")
            # an engine prints other lines too
            if line.startswith("{"):
                figures: dict[str, Any] = json.loads(line)
                return figures
            print(line, end="", flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS if error is None else 1.0)
        except subprocess.TimeoutExpired:
            print(f"{self._name}: is killed", flush=True)
        # the engine's core is a child, and may outlive it
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(_END_SECONDS)
        for stream in (self._process.stdout, self._stderr):
            if stream is not None:
                stream.close()
