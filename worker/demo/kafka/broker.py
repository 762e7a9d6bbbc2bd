"""A real Apache Kafka broker in its own folder, for demonstrations and tests.

One process is broker and controller at once (KRaft), listens on the loopback address only, and
ends with the process that started it: see `broker_guardian`.
"""

import asyncio
import base64
import contextlib
import logging
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Self

from worker.demo.kafka import broker_guardian, broker_properties
from worker.demo.kafka.broker_properties import Node
from worker.demo.kafka.distribution import (
    FORMATTED_NUMBER,
    BrokerError,
    Distribution,
    java_environment,
    obtain,
)

__all__ = ["Broker", "BrokerError", "free_ports"]

_LOGGER = logging.getLogger(__name__)

# Below the ephemeral ports: with one of those, a client that retries a broker which is down can
# connect to itself and occupy the port.
_PORTS = range(20_000, 32_000)
_PORT_TRIES = 5

_START_TIMEOUT_SECONDS = 60.0
_STOP_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.02
_STARTED = b"Kafka Server started"
_PORT_TAKEN = "Address already in use"
_FAILURE = re.compile(r"ERROR|FATAL|Exception|Error:|Error occurred")
_ESSENCE_CHARACTERS = 300


class Broker:
    """One Kafka broker; a context manager, plain or asynchronous.

    ``stop`` and ``kill`` keep the data and the ports for the next ``start``; leaving the context
    closes it permanently. The methods block; they may be called from any thread, one at a time.

    Args:
        folder: Where data, settings and log are kept. By default a temporary folder, removed by
            `close` or, if this process dies first, by the guardian.
        properties: Broker properties that add to or replace the ones set here, for example
            ``{"message.max.bytes": "2097152"}``.
        heap_mebibytes: Size limit of the JVM's heap.
        progress: Called with a sentence before each step that takes long.
        node: Its node in a cluster; by default a single node at free ports. A node of a cluster
            needs a majority of the others to serve clients, so they are started together.
        cluster: All nodes of the cluster, this one included.
    """

    def __init__(
        self,
        *,
        folder: Path | None = None,
        properties: Mapping[str, str] = MappingProxyType({}),
        heap_mebibytes: int = 256,
        progress: Callable[[str], None] = _LOGGER.info,
        node: Node | None = None,
        cluster: Sequence[Node] = (),
    ) -> None:
        self._wanted_folder = folder
        self._wanted_properties = dict(properties)
        self._heap_mebibytes = heap_mebibytes
        self._progress = progress
        self._folder: Path | None = None
        self._node = node
        self._cluster = tuple(cluster)
        self._guardian: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients; it stays the same over restarts."""
        if self._node is None:
            raise BrokerError("The embedded Kafka broker has no address before its first start")
        return self._node.address

    @property
    def log_path(self) -> Path:
        """The broker's own log."""
        return self._home() / "broker.log"

    @property
    def running(self) -> bool:
        """Whether the broker's process is alive."""
        return self._guardian is not None and self._guardian.poll() is None

    def start(self) -> None:
        """Start the broker and return when it serves clients; does nothing if it is running.

        Raises:
            BrokerError: It is not available or does not start.
        """
        if self.running:
            return
        distribution = obtain(self._progress)
        tries_left = _PORT_TRIES if self._node is None else 1
        while True:
            tries_left -= 1
            node = self._node or Node(FORMATTED_NUMBER, *free_ports(2))
            try:
                self._launch(distribution, node)
            except BrokerError as error:
                if _PORT_TAKEN not in str(error) or not tries_left:
                    raise
            else:
                self._node = node
                return

    def stop(self) -> None:
        """Shut the broker down cleanly; data and address are kept."""
        self._end(broker_guardian.TERMINATE)

    def kill(self) -> None:
        """Kill the broker, like a crash; data and address are kept."""
        self._end(broker_guardian.KILL)

    def close(self) -> None:
        """End the broker permanently and remove its folder, if that is a temporary one."""
        if self._wanted_folder is not None:
            self.stop()
            return
        self.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BrokerError:
            raise  # the message names the log, so the folder is kept
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        entering = asyncio.ensure_future(asyncio.to_thread(self.__enter__))
        try:
            return await asyncio.shield(entering)
        except asyncio.CancelledError:
            # The thread cannot be interrupted: wait for it, then clean up.
            await asyncio.gather(entering, return_exceptions=True)
            await asyncio.to_thread(self.close)
            raise

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def _home(self) -> Path:
        if self._folder is None:
            if self._wanted_folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="guardstream-broker-"))
            else:
                self._folder = self._wanted_folder.absolute()
        return self._folder

    def _launch(self, distribution: Distribution, node: Node) -> None:
        home = self._home()
        scratch = home / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        data = home / "data"
        if not (data / "meta.properties").exists():
            shutil.copytree(distribution.storage, data, dirs_exist_ok=True)
            _name_storage(data / "meta.properties", node)
        settings = home / "server.properties"
        own = broker_properties.for_node(data, node, self._cluster or [node])
        settings.write_text(
            broker_properties.text({**own, **self._wanted_properties}), encoding="ascii"
        )
        options = (
            f"-Xmx{self._heap_mebibytes}m",
            "-XX:+ExitOnOutOfMemoryError",
            f"-XX:ErrorFile={home}/jvm-crash.log",
            f"-Djava.io.tmpdir={scratch}",
            "-Djava.awt.headless=true",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
            "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaConfig=warn",
            "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config.AbstractConfig=warn",
        )
        command = distribution.command("kafka.Kafka", str(settings), options=options)
        with self.log_path.open("ab") as log:
            log_offset = log.tell()
            try:
                self._guardian = subprocess.Popen(  # noqa: S603 our own program
                    self._guardian_command(command),
                    env=java_environment(),
                    bufsize=0,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise BrokerError(f"The embedded Kafka broker cannot be run: {error}") from error
        try:
            self._wait_until_started(log_offset)
        except BaseException:
            self.kill()
            raise

    def _guardian_command(self, command: list[str]) -> list[str]:
        temporary = self._wanted_folder is None
        return [
            *(sys.executable, "-I", "-S", broker_guardian.__file__),
            *("--parent", str(os.getpid())),
            *("--grace-seconds", str(_STOP_GRACE_SECONDS)),
            *(("--remove", str(self._home())) if temporary else ()),
            *("--", *command),
        ]

    def _wait_until_started(self, log_offset: int) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while True:
            ended = not self.running
            with self.log_path.open("rb") as log:
                log.seek(log_offset)
                text = log.read()
            if ended:
                raise BrokerError(self._failure("ended while starting", text))
            if _STARTED in text:
                return
            if time.monotonic() > deadline:
                what = f"did not start within {_START_TIMEOUT_SECONDS:.0f} s"
                raise BrokerError(self._failure(what, text))
            time.sleep(_POLL_SECONDS)

    def _failure(self, what: str, log: bytes) -> str:
        """The failure in one sentence, with the most relevant line of the log."""
        lines = [line.strip() for line in log.decode(errors="replace").splitlines()]
        lines = [line for line in lines if line and not line.startswith("at ")]
        relevant = [line for line in lines if _FAILURE.search(line)] or lines or ["no output"]
        taken = [line for line in relevant if _PORT_TAKEN in line]
        essence = (taken or relevant)[-1][-_ESSENCE_CHARACTERS:]
        return f"The embedded Kafka broker {what}: {essence} (log: {self.log_path})"

    def _end(self, order: bytes) -> None:
        guardian, self._guardian = self._guardian, None
        if guardian is None:
            return
        stdin = guardian.stdin
        assert stdin is not None  # noqa: S101 it was opened as a pipe
        with stdin:  # the end of its input would kill the broker
            with contextlib.suppress(BrokenPipeError):  # it may have ended by itself
                stdin.write(order)
            guardian.wait()


def free_ports(count: int) -> list[int]:
    """Ports that are free at the moment.

    Raises:
        BrokerError: there are not enough.
    """
    found: list[int] = []
    for port in secrets.SystemRandom().sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((broker_properties.HOST, port))
            found.append(port)
        if len(found) == count:
            return found
    raise BrokerError(
        f"Not enough ports of {broker_properties.HOST} from {_PORTS.start} to {_PORTS.stop} are"
        " free"
    )


def _name_storage(meta: Path, node: Node) -> None:
    """Give a copy of the formatted storage the identity of a node."""
    directory = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
    own = {"node.id": str(node.number), "directory.id": directory}
    lines = []
    for line in meta.read_text(encoding="ascii").splitlines():
        name = line.partition("=")[0]
        lines.append(f"{name}={own[name]}" if name in own else line)
    meta.write_text("\n".join(lines) + "\n", encoding="ascii")
