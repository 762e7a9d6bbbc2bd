"""The proxy that holds Produce requests back, before a broker that only writes down what it got."""

import asyncio
import struct
from contextlib import asynccontextmanager

import pytest
from aiokafka.protocol.produce import ProduceResponse_v7

from tests.chaos.produces import LATE, REORDERED, Produces, Route
from worker.demo.kafka.broker import free_ports
from worker.demo.kafka.broker_properties import HOST

PRODUCE, METADATA, INIT_PRODUCER_ID, END_TXN = 0, 3, 22, 26


def request(api_key, correlation, name="lane-0", version=7):
    body = b"\x00\x02me" + struct.pack(">h", len(name)) + name.encode() + b"rest"
    frame = struct.pack(">hhi", api_key, version, correlation) + body
    return struct.pack(">i", len(frame)) + frame


class Broker:
    """Answers each request in its order; a Produce with `code`."""

    def __init__(self, code=0):
        self.code = code
        self.seen = []

    async def serve(self, reader, writer):
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                frame = await reader.readexactly(size)
                key, _, correlation = struct.unpack_from(">hhi", frame)
                self.seen.append((key, correlation))
                answer = struct.pack(">i", correlation)
                if key == PRODUCE:
                    partition = (0, self.code, 5, -1, 0)
                    answer += ProduceResponse_v7([("t", [partition])], 0).encode()
                writer.write(struct.pack(">i", len(answer)) + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def proxied(code=0):
    listen, behind = free_ports(2)
    broker = Broker(code)
    server = await asyncio.start_server(broker.serve, HOST, behind)
    try:
        async with Produces({1: Route(listen, behind, behind)}) as produces:
            yield broker, produces, listen
    finally:
        server.close()


async def ask(stream, data):
    reader, writer = stream
    writer.write(data)
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return struct.unpack_from(">i", await reader.readexactly(size))[0]


async def test_requests_pass_while_nothing_is_held():
    async with proxied() as (broker, _, port):
        stream = await asyncio.open_connection(HOST, port)
        assert [await ask(stream, request(key, key)) for key in (METADATA, PRODUCE)] == [3, 0]
        assert broker.seen == [(METADATA, 3), (PRODUCE, 0)]
        stream[1].close()


async def test_a_late_produce_arrives_after_its_transaction_ended():
    async with proxied(code=47) as (broker, produces, port):
        holding = asyncio.create_task(
            produces.hold(1, LATE, count=1, seconds=5, draw=0.1),
        )
        await asyncio.sleep(0.05)
        stream = await asyncio.open_connection(HOST, port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await ask(stream, request(PRODUCE, 1))
        stream[1].close()
        await asyncio.sleep(0.3)
        assert broker.seen == []
        other = await asyncio.open_connection(HOST, port)
        await ask(other, request(END_TXN, 2, "another lane", 0))
        await asyncio.sleep(0.3)
        assert not holding.done()
        await ask(other, request(INIT_PRODUCER_ID, 3, "lane-0", 0))
        assert await holding == {"InvalidProducerEpoch": 1}
        assert [key for key, _ in broker.seen] == [END_TXN, INIT_PRODUCER_ID, PRODUCE]
        other[1].close()


async def test_a_reordered_produce_arrives_after_its_own_repetition():
    async with proxied() as (broker, produces, port):
        holding = asyncio.create_task(produces.hold(1, REORDERED, count=1, seconds=5, draw=0.7))
        await asyncio.sleep(0.05)
        stream = await asyncio.open_connection(HOST, port)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await ask(stream, request(PRODUCE, 1))
        again = await asyncio.open_connection(HOST, port)
        assert await ask(again, request(PRODUCE, 2)) == 2
        assert await holding == {"NoError": 1}
        assert broker.seen == [(PRODUCE, 2), (PRODUCE, 1)]
        for one in (stream, again):
            one[1].close()


async def test_nothing_is_held_where_no_produce_comes():
    async with proxied() as (_, produces, port):
        holding = asyncio.create_task(produces.hold(1, LATE, count=1, seconds=0.2, draw=0.1))
        stream = await asyncio.open_connection(HOST, port)
        assert await ask(stream, request(METADATA, 1)) == 1
        assert not await holding
        stream[1].close()
