"""Looks at workers over HTTP, again and again.

What answers need not be a worker, nor well meaning: sizes and times are bounded, redirects are not
followed, nothing is decompressed.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence

import aiohttp
from yarl import URL

from worker.domain.errors import GuardstreamError
from worker.operator.top.changes import Change
from worker.operator.top.loads import Flow, flow_of
from worker.operator.top.recent import RecentVerdict, read_recent
from worker.operator.top.scrapes import Snapshot, Unreadable, read_metrics
from worker.operator.top.view import Seen, View, view_of

DEFAULT_PORT = 8080
_MAX_BYTES = 4 << 20
_TIMEOUT_SECONDS = 5.0
_MAX_FLOWS = 1000


class NoWorker(GuardstreamError):  # noqa: N818
    """None of the workers can be read."""


class Watch:
    """One worker and what it said within the last `window_seconds`."""

    def __init__(self, base: URL, session: aiohttp.ClientSession, window_seconds: float) -> None:
        self.name = f"{base.host_subcomponent}:{base.port}{base.path.rstrip('/')}"
        self._base = base
        self._session = session
        self._window_seconds = window_seconds
        self._snapshots: deque[Snapshot] = deque()
        self._fault: str | None = "not asked yet"
        self._recent: tuple[RecentVerdict, ...] | None = None
        self._recent_fault: str | None = None

    async def look(self) -> None:
        """Ask the worker; a fault is kept and shown, not raised."""
        try:
            body = await self._get("metrics")
            snapshot = read_metrics(body.decode("utf-8", "replace"), time.monotonic())
        except Unreadable as fault:
            self._fault = str(fault)
            return
        self._fault = None
        self._keep(snapshot)
        try:
            self._recent, self._recent_fault = read_recent(await self._get("recent")), None
        except Unreadable as fault:
            self._recent, self._recent_fault = None, str(fault)

    def seen(self) -> Seen:
        """What is known of the worker, over the window."""
        return Seen(
            self.name,
            self._change(0),
            fault=self._fault,
            recent=None if self._fault else self._recent,
            recent_fault=self._recent_fault,
        )

    def last_change(self) -> Change | None:
        """What happened since the look before the last; None while it cannot be read."""
        return self._change(-2)

    def _change(self, earlier: int) -> Change | None:
        if self._fault is not None:
            return None
        several = len(self._snapshots) > 1
        return Change(self._snapshots[earlier] if several else None, self._snapshots[-1])

    def _keep(self, snapshot: Snapshot) -> None:
        kept = self._snapshots
        kept.append(snapshot)
        # one more than the window holds, to count from
        while len(kept) > 2 and snapshot.at - kept[1].at >= self._window_seconds:
            kept.popleft()

    async def _get(self, path: str) -> bytes:
        try:
            async with self._session.get(self._base / path, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise Unreadable(f"its /{path} answers {answer.status}")
                body = bytearray()
                async for chunk in answer.content.iter_any():
                    body += chunk
                    if len(body) > _MAX_BYTES:
                        raise Unreadable(f"its /{path} is over {_MAX_BYTES >> 20} MiB")
                return bytes(body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreadable(_say(error)) from error


def open_session() -> aiohttp.ClientSession:
    """A session for all watches; close it."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


class Lookout:
    """All workers that are watched.

    Attributes:
        flows: what flowed through all of them, a round each, the newest last.
    """

    def __init__(
        self, bases: Sequence[URL], session: aiohttp.ClientSession, window_seconds: float
    ) -> None:
        self._watches = [Watch(base, session, window_seconds) for base in bases]
        self.flows: deque[Flow] = deque(maxlen=_MAX_FLOWS)

    def view(self) -> View:
        """What is to be shown now."""
        return view_of([watch.seen() for watch in self._watches], time.time())

    def require_one(self) -> None:
        """See that there is a worker to be watched.

        Raises:
            NoWorker: none can be read.
        """
        faults = [f"{one.name}: {one.fault}" for w in self._watches if (one := w.seen()).fault]
        if len(faults) == len(self._watches):
            raise NoWorker(f"No worker can be read: {'; '.join(faults)}.")

    async def rounds(self, interval_seconds: float) -> AsyncGenerator[None, None]:
        """Look at all workers again and again, and yield after each round.

        The first round waits for every worker. Later ones do not: a slow worker is left to
        itself, and asked anew when it has answered.
        """
        looks: dict[Watch, asyncio.Task[None]] = {}
        patience = None
        try:
            while True:
                began = time.monotonic()
                for watch in self._watches:
                    if watch not in looks:
                        looks[watch] = asyncio.create_task(watch.look())
                await asyncio.wait(looks.values(), timeout=patience)
                for watch in [watch for watch, look in looks.items() if look.done()]:
                    looks.pop(watch).result()
                changes = [change for w in self._watches if (change := w.last_change())]
                if flow := flow_of(changes):
                    self.flows.append(flow)
                yield
                patience = interval_seconds / 2
                await asyncio.sleep(max(0.0, began + interval_seconds - time.monotonic()))
        finally:
            for look in looks.values():
                look.cancel()


def base_url(text: str) -> URL:
    """The worker's address out of `host`, `host:port` or a URL, with or without `/metrics`.

    Raises:
        ValueError: it is none of these.
    """
    url = URL(text if "://" in text else f"http://{text}")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(text)
    if "://" not in text and url.explicit_port is None:
        url = url.with_port(DEFAULT_PORT)
    path = url.path.rstrip("/").removesuffix("/metrics")
    return url.with_path(path or "/").with_query(None).with_fragment(None)


def _say(error: Exception) -> str:
    match error:
        case TimeoutError():
            return f"it does not answer within {_TIMEOUT_SECONDS:g} s"
        case aiohttp.ClientConnectorDNSError():
            return "its name is not known"
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted"
        case aiohttp.ClientConnectorError() if error.os_error.errno:
            return f"no connection: {os.strerror(error.os_error.errno).lower()}"
        case aiohttp.ServerDisconnectedError():
            return "it closed the connection"
        case _:
            return f"no answer in HTTP ({type(error).__name__})"
