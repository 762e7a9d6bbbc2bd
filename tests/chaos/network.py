"""The workers' network, troubled by toxiproxy: one proxy before each broker.

The proxy is a Go program, built once into guardstream's cache folder; without Go there is none,
and the faults of the network are left out.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import aiohttp

from tests.chaos.cluster import Cluster
from tests.chaos.guarded import guarded
from worker.demo.kafka.broker import free_ports
from worker.demo.kafka.broker_properties import HOST
from worker.demo.kafka.distribution import cache_folder

_PACKAGE = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0"
_BUILD_SECONDS = 300
_START_SECONDS = 10
# on a busy machine an answer takes long; 10 s were once too few
_ANSWER_SECONDS = 90

# A cut closes connections; a half-open one swallows what is sent; an unanswered one lets requests
# through and swallows the answers, so that what was done seems not to be.
TROUBLES = ("cut", "delay", "half-open", "unanswered")


def proxy_program() -> Path | None:
    """The proxy's program, built if it is not there; None without Go."""
    folder = cache_folder() / "toxiproxy"
    program = folder / "server"
    if program.is_file():
        return program
    go = shutil.which("go")
    if go is None:
        return None
    built = subprocess.run(  # noqa: S603 - the toolchain that was found
        [go, "install", _PACKAGE],
        env=os.environ | {"GOBIN": str(folder)},
        capture_output=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    return program if built.returncode == 0 else None


class Network:
    """A context manager: the proxies of a cluster.

    Args:
        listen: the port for each broker.
    """

    def __init__(
        self, cluster: Cluster, program: Path, log: Path, listen: Mapping[int, int]
    ) -> None:
        self._cluster = cluster
        self._listen = listen
        self._program = program
        self._log = log
        self._port = free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - it takes no time, and is ours
                guarded([str(self._program), "-host", HOST, "-port", str(self._port)]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            await self._wait_until_started()
            for number, (_, inside) in self._cluster.proxied.items():
                ends = {
                    "listen": f"{HOST}:{self._listen[number]}",
                    "upstream": f"{HOST}:{inside}",
                }
                await self._ask("POST", "/proxies", {"name": _name(number), **ends})
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end()

    async def trouble(self, kind: str, number: int) -> None:
        """Begin one of `TROUBLES` on the way to a broker."""
        if kind == "cut":
            await self._ask("POST", f"/proxies/{_name(number)}", {"enabled": False})
            return
        toxic = (
            {"type": "latency", "attributes": {"latency": 800, "jitter": 400}}
            if kind == "delay"
            # a timeout of 0 keeps the connection and delivers nothing
            else {"type": "timeout", "attributes": {"timeout": 0}}
        )
        streams = ("downstream",) if kind == "unanswered" else ("upstream", "downstream")
        for stream in streams:
            named = {"name": f"{kind}-{stream}", "stream": stream, **toxic}
            await self._ask("POST", f"/proxies/{_name(number)}/toxics", named)

    async def heal(self) -> None:
        """End all troubles."""
        await self._ask("POST", "/reset", {})

    async def _wait_until_started(self) -> None:
        async with asyncio.timeout(_START_SECONDS):
            while True:
                try:
                    await self._ask("GET", "/version", None)
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
                else:
                    return

    async def _ask(self, method: str, path: str, body: dict | None) -> None:
        # toxiproxy refuses browsers, by their user agent
        agent = {"User-Agent": "guardstream-chaos"}
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        async with (
            aiohttp.ClientSession(headers=agent, timeout=timeout) as session,
            session.request(method, f"http://{HOST}:{self._port}{path}", json=body) as answer,
        ):
            answer.raise_for_status()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _name(number: int) -> str:
    return f"broker-{number}"
