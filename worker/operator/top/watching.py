"""Scrapes workers over HTTP at an interval.

The responses are untrusted: sizes and times are bounded, redirects are not followed, and nothing is
decompressed.
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
from worker.operator.top.view import View, WorkerStatus, view_of

DEFAULT_PORT = 8080
_MAX_BYTES = 4 << 20
_TIMEOUT_SECONDS = 5.0
_MAX_FLOWS = 1000


class NoWorker(GuardstreamError):  # noqa: N818
    """None of the workers can be read."""


class WatchedWorker:
    """One worker and its responses of the last `window_seconds`."""

    def __init__(self, base: URL, session: aiohttp.ClientSession, window_seconds: float) -> None:
        self.name = f"{base.host_subcomponent}:{base.port}{base.path.rstrip('/')}"
        self._base = base
        self._session = session
        self._window_seconds = window_seconds
        self._snapshots: deque[Snapshot] = deque()
        self._fault: str | None = "not asked yet"
        self._recent: tuple[RecentVerdict, ...] | None = None
        self._recent_fault: str | None = None

    async def scrape(self) -> None:
        """Scrape the worker; an error is stored for the view and not raised."""
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

    def status(self) -> WorkerStatus:
        """The status of the worker, over the window."""
        return WorkerStatus(
            self.name,
            self._change(0),
            fault=self._fault,
            recent=None if self._fault else self._recent,
            recent_fault=self._recent_fault,
        )

    def last_change(self) -> Change | None:
        """The change since the previous scrape; None while the worker cannot be read."""
        return self._change(-2)

    def _change(self, earlier: int) -> Change | None:
        if self._fault is not None:
            return None
        several = len(self._snapshots) > 1
        return Change(self._snapshots[earlier] if several else None, self._snapshots[-1])

    def _keep(self, snapshot: Snapshot) -> None:
        kept = self._snapshots
        kept.append(snapshot)
        # one snapshot older than the window, to compare with
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
            raise Unreadable(_describe(error)) from error


def open_session() -> aiohttp.ClientSession:
    """A session for all workers; the caller closes it."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


class WatchedWorkers:
    """All workers that are watched.

    Attributes:
        flows: the flow through all of them, one per round, the newest last.
    """

    def __init__(
        self, bases: Sequence[URL], session: aiohttp.ClientSession, window_seconds: float
    ) -> None:
        self._workers = [WatchedWorker(base, session, window_seconds) for base in bases]
        self.flows: deque[Flow] = deque(maxlen=_MAX_FLOWS)

    def view(self) -> View:
        """The current view."""
        return view_of([watch.status() for watch in self._workers], time.time())

    def require_one(self) -> None:
        """Check that at least one worker can be read.

        Raises:
            NoWorker: none can be read.
        """
        faults = [f"{one.name}: {one.fault}" for w in self._workers if (one := w.status()).fault]
        if len(faults) == len(self._workers):
            raise NoWorker(f"No worker can be read: {'; '.join(faults)}.")

    async def rounds(self, interval_seconds: float) -> AsyncGenerator[None, None]:
        """Scrape all workers at an interval, and yield after each round.

        The first round waits for every worker. Later rounds do not: a slow worker is scraped again
        after it has answered.
        """
        scrapes: dict[WatchedWorker, asyncio.Task[None]] = {}
        timeout = None
        try:
            while True:
                began = time.monotonic()
                for watch in self._workers:
                    if watch not in scrapes:
                        scrapes[watch] = asyncio.create_task(watch.scrape())
                await asyncio.wait(scrapes.values(), timeout=timeout)
                for watch in [watch for watch, scrape in scrapes.items() if scrape.done()]:
                    scrapes.pop(watch).result()
                changes = [change for w in self._workers if (change := w.last_change())]
                if flow := flow_of(changes):
                    self.flows.append(flow)
                yield
                timeout = interval_seconds / 2
                await asyncio.sleep(max(0.0, began + interval_seconds - time.monotonic()))
        finally:
            for scrape in scrapes.values():
                scrape.cancel()


def base_url(text: str) -> URL:
    """The address of a worker from `host`, `host:port` or a URL, with or without `/metrics`.

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


def _describe(error: Exception) -> str:
    match error:
        case TimeoutError():
            return f"it does not answer within {_TIMEOUT_SECONDS:g} s"
        case aiohttp.ClientConnectorDNSError():
            return "its host name cannot be resolved"
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted"
        case aiohttp.ClientConnectorError() if error.os_error.errno:
            return f"no connection: {os.strerror(error.os_error.errno).lower()}"
        case aiohttp.ServerDisconnectedError():
            return "it closed the connection"
        case _:
            return f"no HTTP response ({type(error).__name__})"
