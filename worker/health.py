"""`/livez`, `/readyz`, `/startupz` and `/metrics` on one port."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from worker.errors import WrongSetting


@dataclass(frozen=True, slots=True)
class Probes:
    """What is asked; each answers None when all is well, else why not."""

    live: Callable[[], str | None]
    ready: Callable[[], str | None]
    started: Callable[[], str | None]


class HealthServer:
    """Serves the probes and the metrics of `prometheus_client`'s registry."""

    def __init__(self, host: str, port: int, probes: Probes) -> None:
        self._host = host
        self._port = port
        app = web.Application()
        app.router.add_get("/livez", _probe(probes.live))
        app.router.add_get("/readyz", _probe(probes.ready))
        app.router.add_get("/startupz", _probe(probes.started))
        app.router.add_get("/metrics", _metrics)
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


def _probe(ask: Callable[[], str | None]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        fault = ask()
        return web.Response(status=503 if fault else 200, text=(fault or "ok") + "\n")

    return answer


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
