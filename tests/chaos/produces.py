"""A proxy before each broker that understands requests, to hold Produce requests back.

Kafka answers the requests of a connection in their order, so a request that is held blocks those
behind it. What is held is therefore delivered on a connection of its own: as a packet would arrive
that the network kept while its sender reconnected (KIP-890 is about such a produce).
"""

import asyncio
import contextlib
import random
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Self

from aiokafka.errors import for_code
from aiokafka.protocol import produce

from worker.demo.kafka.broker_properties import HOST

LATE = "late produce"
REORDERED = "reorder produce"
HELD = (LATE, REORDERED)

_PRODUCE, _INIT_PRODUCER_ID, _END_TXN = 0, 22, 26
_LENGTH, _HEADER = struct.Struct(">i"), struct.Struct(">hhi")
_STRING = struct.Struct(">h")
_READ_BYTES = 1 << 16
# the client's own patience ends before
_MOST_HOLD_SECONDS = 20.0
# a new producer of the same transactional id starts within seconds, where one starts at all
_MOST_WAIT_SECONDS = 15.0
_DELIVERY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Route:
    """Where the proxy of a broker listens, where its way leads on, and the way to deliver later."""

    listen: int
    upstream: int
    direct: int


@dataclass(slots=True)
class Hold:
    """An order to hold the next Produce requests to a broker back.

    Attributes:
        kind: `LATE` keeps the client waiting until it gives up, and delivers when its producer has
            ended its transaction or has been replaced; `REORDERED` closes the client's connection
            at once, and delivers after what the client sends then.
        left: how many requests more.
        held: how many were.
    """

    kind: str
    left: int
    chance: random.Random
    held: int = 0
    deliveries: list[asyncio.Task[None]] = field(default_factory=list)
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class _Frame:
    """A request as it stands on the wire, and what of it matters here."""

    data: bytes
    api_key: int
    version: int
    transactional_id: str | None


class Produces:
    """A context manager: the proxies of all brokers.

    Attributes:
        answers: what the brokers said to what was delivered late, by kind and error.
    """

    def __init__(self, routes: Mapping[int, Route]) -> None:
        self.answers: Counter[tuple[str, str]] = Counter()
        self._routes = routes
        self._servers: list[asyncio.Server] = []
        self._holds: dict[int, Hold] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._ended: dict[str, list[asyncio.Event]] = {}

    async def __aenter__(self) -> Self:
        for number, route in self._routes.items():
            self._servers.append(await self._listen(number, route))
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def hold(
        self, number: int, kind: str, *, count: int, seconds: float, draw: float
    ) -> Counter[str]:
        """Hold requests back that come within some seconds, until the last one is delivered.

        Returns:
            What the broker said to each, by the name of the error; empty if none came.
        """
        before = self.answers.copy()
        hold = self._holds[number] = Hold(kind, count, random.Random(draw))
        for _ in range(int(seconds / 0.05)):
            await asyncio.sleep(0.05)
            if not hold.left:
                break
        if self._holds.get(number) is hold:
            del self._holds[number]
        while hold.waiting:
            await asyncio.sleep(0.05)
        if hold.deliveries:
            await asyncio.wait(hold.deliveries)
        fresh = self.answers - before
        return Counter({error: n for (theirs, error), n in fresh.items() if theirs == kind})

    async def _listen(self, number: int, route: Route) -> asyncio.Server:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._serving.add(task)
            try:
                await self._serve(number, route, reader, writer)
            except asyncio.CancelledError:
                # the server's own task: asyncio would log the cancellation
                pass
            finally:
                self._serving.discard(task)

        return await asyncio.start_server(serve, HOST, route.listen)

    async def _serve(
        self,
        number: int,
        route: Route,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        try:
            answers, requests = await asyncio.open_connection(HOST, route.upstream)
        except OSError:
            writer.close()
            return
        back = asyncio.create_task(_pump(answers, writer))
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    frame = _parse(await _read(reader))
                    if (hold := self._take(number, frame)) is not None:
                        await self._keep(hold, route, frame, reader, writer)
                        return
                    requests.write(frame.data)
                    await requests.drain()
                    self._heard(frame)
        finally:
            back.cancel()
            writer.close()
            requests.close()
            await asyncio.gather(back, return_exceptions=True)

    def _take(self, number: int, frame: _Frame) -> Hold | None:
        hold = self._holds.get(number)
        if frame.api_key != _PRODUCE or hold is None or not hold.left:
            return None
        hold.left -= 1
        hold.held += 1
        return hold

    async def _keep(
        self,
        hold: Hold,
        route: Route,
        frame: _Frame,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Hold a request back, and see to its delivery; the client's connection ends with it."""
        ended = asyncio.Event()
        if frame.transactional_id is not None:
            self._ended.setdefault(frame.transactional_id, []).append(ended)
        hold.waiting += 1
        try:
            if hold.kind == LATE:
                # what the client sends on, if anything, dies with its connection
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(_MOST_HOLD_SECONDS):
                        while await reader.read(_READ_BYTES):
                            pass
        finally:
            writer.close()
            delivery = asyncio.create_task(self._deliver(hold, route, frame, ended))
            hold.deliveries.append(delivery)
            self._serving.add(delivery)
            delivery.add_done_callback(self._serving.discard)
            hold.waiting -= 1

    async def _deliver(self, hold: Hold, route: Route, frame: _Frame, ended: asyncio.Event) -> None:
        if hold.kind == LATE and frame.transactional_id is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_MOST_WAIT_SECONDS):
                    await ended.wait()
        # the next transaction begins within the worker's interval of 0.2 s: before, in, after it
        await asyncio.sleep(hold.chance.uniform(0.0, 1.5 if hold.chance.random() < 0.7 else 6.0))
        error = "not delivered"
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_DELIVERY_SECONDS):
                answers, requests = await asyncio.open_connection(HOST, route.direct)
                try:
                    requests.write(frame.data)
                    await requests.drain()
                    error = _error(await _read(answers), frame.version)
                finally:
                    requests.close()
        self.answers[hold.kind, error] += 1

    def _heard(self, frame: _Frame) -> None:
        """A producer's transaction ends, or another producer takes its place."""
        if frame.api_key in (_INIT_PRODUCER_ID, _END_TXN) and frame.transactional_id is not None:
            for ended in self._ended.pop(frame.transactional_id, ()):
                ended.set()


async def _pump(answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass answers on as they come; the end of one side is the end of the other."""
    with contextlib.suppress(OSError):
        while data := await answers.read(_READ_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    length = await reader.readexactly(_LENGTH.size)
    return length + await reader.readexactly(_LENGTH.unpack(length)[0])


def _parse(data: bytes) -> _Frame:
    key, version, _ = _HEADER.unpack_from(data, _LENGTH.size)
    named = key in (_PRODUCE, _INIT_PRODUCER_ID, _END_TXN) and not (key == _PRODUCE and version < 3)
    name = None
    if named:
        # the client's id, and then the first field of these requests' bodies (not flexible ones)
        _, at = _read_string(data, _LENGTH.size + _HEADER.size)
        name, _ = _read_string(data, at)
    return _Frame(data, key, version, name)


def _read_string(data: bytes, at: int) -> tuple[str | None, int]:
    (length,) = _STRING.unpack_from(data, at)
    at += _STRING.size
    return (None, at) if length < 0 else (data[at : at + length].decode(), at + length)


def _error(answer: bytes, version: int) -> str:
    """The first error of a Produce response, by its name; `NoError` if there is none."""
    shape = getattr(produce, f"ProduceResponse_v{version}")
    decoded = shape.decode(BytesIO(answer[_LENGTH.size + 4 :]))
    codes = [partition[1] for _, partitions in decoded.topics for partition in partitions]
    return next((for_code(code).__name__ for code in codes if code), "NoError")
