"""What is said of brokers that cannot be used, and whether it is worth waiting for them."""

import asyncio
import errno
import struct
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from aiokafka.errors import IncompatibleBrokerVersion

from worker.adapters.kafka import connection as adapter
from worker.adapters.kafka import diagnosis
from worker.adapters.kafka.connection import Connection, describe_topics
from worker.domain.errors import BusUnavailable, BusUnreachable


@asynccontextmanager
async def hanging_up():
    """A server that closes each connection; yields its port."""

    async def hang_up(_, writer):
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_port_without_a_listener_may_pass():
    with pytest.raises(BusUnreachable, match=r"no broker listens at 127\.0\.0\.1:1;"):
        await describe_topics(Connection("127.0.0.1:1"), [])


async def test_one_that_hangs_up_is_there_and_is_not_waited_for():
    async with hanging_up() as port:
        with pytest.raises(BusUnavailable, match="hung up") as caught:
            await describe_topics(Connection(f"127.0.0.1:{port}"), [])
    assert not isinstance(caught.value, BusUnreachable)


async def test_one_that_refuses_counts_more_than_one_that_is_not_there():
    async with hanging_up() as port:
        with pytest.raises(BusUnavailable, match="hung up") as caught:
            await describe_topics(Connection(f"127.0.0.1:{port},127.0.0.1:1"), [])
    assert not isinstance(caught.value, BusUnreachable)


async def answer_versions(reader, writer):
    """A broker that knows no request but the one for versions."""
    header = await reader.readexactly(4)
    request = await reader.readexactly(*struct.unpack(">i", header))
    (correlation,) = struct.unpack_from(">i", request, 4)
    body = struct.pack(">ihihhh", correlation, 0, 1, 18, 0, 0)
    writer.write(struct.pack(">i", len(body)) + body)
    await writer.drain()
    writer.close()


async def test_a_broker_too_old_is_named():
    server = await asyncio.start_server(answer_versions, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(
            BusUnavailable, match=r"cannot be used: .* its version is not supported"
        ) as caught:
            await describe_topics(Connection(f"127.0.0.1:{port}"), [])
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert not isinstance(caught.value, BusUnreachable)


async def test_a_request_that_a_broker_does_not_offer_is_named():
    with pytest.raises(BusUnavailable, match=r"MetadataRequest cannot.*docs/compatibility\.md"):
        async with Connection("127.0.0.1:1").connecting():
            raise IncompatibleBrokerVersion("MetadataRequest cannot be used")


class Admin:
    """An admin client whose first answers have a passing error."""

    def __init__(self, **_):
        self.errors = [5, 5, 0]

    async def start(self):
        pass

    close = start

    async def _send_request(self, _):
        code = self.errors.pop(0)
        partitions = [] if code else [{}, {}]
        topic = {"topic": "events", "error_code": code, "partitions": partitions}
        return SimpleNamespace(to_object=lambda: {"topics": [topic]})

    async def describe_configs(self, _):
        return []


async def test_metadata_with_a_passing_error_is_asked_for_again(monkeypatch):
    monkeypatch.setattr(adapter, "AIOKafkaAdminClient", Admin)
    monkeypatch.setattr(adapter, "_ASK_AGAIN_SECONDS", 0)
    found = await adapter.describe_topics(Connection("nowhere:9092"), ["events"])
    assert found["events"].partitions == 2


@pytest.mark.parametrize(
    "error",
    [
        OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] ..."),
        OSError(errno.EHOSTUNREACH, "No route to host"),
        ConnectionRefusedError(),
    ],
)
def test_a_host_that_is_not_there_may_come(error):
    cause = diagnosis._explain(error, "kafka:9092", {"security_protocol": "PLAINTEXT"})
    assert cause.may_pass
    assert "kafka.bootstrap_servers" in cause.text


def test_one_that_is_there_and_hangs_up_is_not_waited_for():
    cause = diagnosis._explain(
        ConnectionResetError(), "kafka:9092", {"security_protocol": "PLAINTEXT"}
    )
    assert not cause.may_pass


async def test_a_topic_that_one_broker_does_not_know_yet_is_not_missing(monkeypatch):
    topic = adapter.Topic("events", 3, 1_000)
    answers = [({}, set()), ({}, set()), ({"events": topic}, set())]

    async def look_up(*_):
        return answers.pop(0)

    monkeypatch.setattr(adapter, "_ASK_AGAIN_SECONDS", 0)
    monkeypatch.setattr(adapter, "_look_up", look_up)
    assert await adapter.require_topics(Connection("localhost:1"), ["events"]) == {"events": topic}
    assert not answers


async def test_a_topic_that_no_broker_knows_is_missing(monkeypatch):
    async def look_up(*_):
        return {}, set()

    monkeypatch.setattr(adapter, "_MISSING_SECONDS", 0)
    monkeypatch.setattr(adapter, "_look_up", look_up)
    with pytest.raises(BusUnavailable, match="has no topic events; create it"):
        await adapter.require_topics(Connection("localhost:1"), ["events"])
