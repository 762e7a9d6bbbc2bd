"""`/livez`, `/readyz`, `/startupz`, `/metrics` and `/recent`, on one port."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from worker.errors import WrongSetting


@dataclass(frozen=True, slots=True)
class Report:
    """What a probe answers: well when there is no reason not to be.

    Attributes:
        state: `loading`, `running` or `stopping`.
        reasons: each a sentence.
    """

    state: str
    reasons: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Probes:
    """What is asked.

    Attributes:
        live: whether a restart is wanted; never on account of the brokers.
        ready: whether records are judged, or would be if there were any.
        started: whether the model is loaded.
        recent: the last verdicts, without text.
        registries: whose metrics are served.
    """

    live: Callable[[], Report]
    ready: Callable[[], Report]
    started: Callable[[], Report]
    recent: Callable[[], list[dict[str, Any]]]
    registries: Sequence[CollectorRegistry]


class HealthServer:
    """Serves the probes.

    It shares the worker's event loop, so that an answer is a heartbeat: a loop that hangs gives
    none, and the platform's patience with that is what ends the worker.
    """

    def __init__(self, host: str, port: int, probes: Probes) -> None:
        self._host = host
        self._port = port
        self._probes = probes
        app = web.Application()
        app.router.add_get("/livez", lambda _: _answer(probes.live()))
        app.router.add_get("/readyz", lambda _: _answer(probes.ready()))
        app.router.add_get("/startupz", lambda _: _answer(probes.started()))
        app.router.add_get("/recent", lambda _: _json(200, probes.recent()))
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        """Listen.

        Raises:
            WrongSetting: the port is taken.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            raise WrongSetting(
                f"The port {self._port} of health.port cannot be had ({error.strerror});"
                " choose another, or 0 for none."
            ) from error

    async def stop(self) -> None:
        """Listen no more."""
        await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        text = b"".join(generate_latest(registry) for registry in self._probes.registries)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _answer(report: Report) -> web.Response:
    status = 503 if report.reasons else 200
    said = {"status": "failing" if report.reasons else "ok", "state": report.state}
    return await _json(status, {**said, "reasons": list(report.reasons)})


async def _json(status: int, body: object) -> web.Response:
    return web.Response(
        status=status, body=orjson.dumps(body) + b"\n", content_type="application/json"
    )
