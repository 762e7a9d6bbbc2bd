"""`/livez`, `/readyz`, `/startupz`, `/metrics` and `/recent`, on one port."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from worker.domain.errors import WrongSetting


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a probe: it succeeds when there are no reasons for a failure.

    Attributes:
        state: `loading`, `running` or `stopping`.
        reasons: each a sentence.
    """

    state: str
    reasons: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Probes:
    """The content of the endpoints.

    Attributes:
        live: fails when a restart is needed; never because of the brokers.
        ready: fails when records could not be judged.
        started: fails until the model is loaded.
        recent: the last verdicts, without text of users or models.
        registries: of the metrics that are served.
    """

    live: Callable[[], Report]
    ready: Callable[[], Report]
    started: Callable[[], Report]
    recent: Callable[[], list[dict[str, Any]]]
    registries: Sequence[CollectorRegistry]


class HealthServer:
    """Serves the probes.

    It runs in the event loop of the worker, so that an answer is a heartbeat: a loop that hangs
    does not answer, and the probe timeouts of the platform then restart the worker.
    """

    def __init__(self, host: str, port: int, probes: Probes) -> None:
        self._host = host
        self._port = port
        self._probes = probes
        app = web.Application()
        app.router.add_get("/livez", _probe(probes.live))
        app.router.add_get("/readyz", _probe(probes.ready))
        app.router.add_get("/startupz", _probe(probes.started))
        app.router.add_get("/recent", self._recent)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        """Start listening.

        Raises:
            WrongSetting: the port is in use.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            raise WrongSetting(
                f"The port {self._port} of health.port is not available ({error.strerror});"
                " choose another, or 0 to disable it."
            ) from error

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _recent(self, _: web.Request) -> web.Response:
        return _json(self._probes.recent())

    async def _metrics(self, _: web.Request) -> web.Response:
        text = b"".join(generate_latest(registry) for registry in self._probes.registries)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _probe(ask: Callable[[], Report]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        report = ask()
        failing = bool(report.reasons)
        body = {"status": "failing" if failing else "ok", "state": report.state}
        return _json({**body, "reasons": list(report.reasons)}, status=503 if failing else 200)

    return answer


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=orjson.dumps(body) + b"\n", content_type="application/json"
    )
