"""A liveness probe as in Kubernetes: a process that no longer answers `/livez` is to be ended."""

import time
from collections.abc import Callable
from typing import Self

import aiohttp

from worker.demo.kafka.broker_properties import HOST

# long enough for a busy machine, short enough for a round with several deaths
SILENT_SECONDS = 10.0
# until it listens, and from there to its first answer, which is late on a busy machine
_START_SECONDS = 60.0
_FIRST_SECONDS = 25.0
_ANSWER_SECONDS = 3.0


class Liveness:
    """A context manager that remembers when each process answered last."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        # since when a process owes an answer, and for how long it may
        self._since: dict[int, tuple[float, float]] = {}

    async def __aenter__(self) -> Self:
        # a connection for each question: a frozen process would keep the old one
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def is_silent(self, pid: int, port: int, frozen: bool) -> bool:  # noqa: FBT001
        """Ask a process, unless a fault froze it; whether it has been silent for too long."""
        if frozen or not port:
            if pid in self._since:
                # what it owes, it owes from when it goes on
                self._since[pid] = self._clock(), self._since[pid][1]
            return False
        listens, answers = await self._ask(port)
        now = self._clock()
        if answers:
            self._since[pid] = now, SILENT_SECONDS
            return False
        since, allowed = self._since.setdefault(pid, (now, _START_SECONDS))
        if listens and allowed == _START_SECONDS:
            # it took the connection: its loop ran, and may have frozen before its first answer
            since, allowed = self._since[pid] = now, _FIRST_SECONDS
        return now - since > allowed

    async def _ask(self, port: int) -> tuple[bool, bool]:
        """Whether the process takes connections, and whether it answers at all."""
        assert self._session is not None
        try:
            async with self._session.get(f"http://{HOST}:{port}/livez") as answer:
                await answer.read()
        except aiohttp.ClientConnectorError:
            return False, False
        except (aiohttp.ClientError, TimeoutError):
            return True, False
        return True, True
