"""How a worker ends, and what it survives: signals, brokers that go away, a static restart."""

import asyncio
import signal
import socket
import urllib.error
import urllib.request

import pytest

from tests.integration.harness import (
    GUARANTEES,
    both_guarantees,
    event,
    produce,
    read,
    start_process,
    until,
)
from worker.adapters.kafka.connection import Connection, create_topics
from worker.adapters.kafka.reader import committed_offsets
from worker.demo.kafka.broker import Broker
from worker.runtime.settings import load_settings
from worker.runtime.worker import Worker

pytestmark = pytest.mark.integration


@pytest.fixture
def broker():
    with Broker() as own:
        yield own


async def settings_on(broker, guarantee, **groups):
    topics = ["events", "verdicts", "dead"]
    await create_topics(Connection(broker.bootstrap_servers), topics, partitions=2)
    return load_settings(
        kafka={"bootstrap_servers": broker.bootstrap_servers},
        input={"topics": topics[:1], "group_id": "group"},
        output={"verdict_topic": topics[1], "dead_letter_topic": topics[2]},
        delivery={"guarantee": guarantee},
        engine={"kind": "simulated", "simulated": {"time_to_first_token_seconds": 0.01}},
        health={"port": 0},
        **groups,
    )


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_a_stop_is_bounded_when_the_brokers_are_gone(broker, guarantee):
    settings = await settings_on(broker, guarantee, shutdown={"drain_seconds": 1.0})
    connection = Connection(broker.bootstrap_servers)
    await produce(connection, "events", [event("events", str(n)) for n in range(100)])
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.outcomes["verdict"] > 50)
    await asyncio.to_thread(broker.kill)
    worker.stop()
    ended, _ = await asyncio.wait([running], timeout=60)
    assert ended == {running}
    await running


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_a_broker_that_comes_back_finds_the_worker_waiting(broker, guarantee):
    settings = await settings_on(broker, guarantee)
    connection = Connection(broker.bootstrap_servers)
    count = 2000
    await produce(connection, "events", [event("events", str(n)) for n in range(count)])
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.outcomes["verdict"] > 300)
    await asyncio.to_thread(broker.kill)
    await asyncio.sleep(3)
    await asyncio.to_thread(broker.start)

    async def settled():
        offsets = await committed_offsets(connection, "events", "group")
        return all(committed == end for _, committed, end in offsets)

    async with asyncio.timeout(120):
        while not await settled():
            await asyncio.sleep(0.5)
    worker.stop()
    await running
    found = [record.key for record in await read(connection, ["verdicts"], count)]
    assert len(set(found)) == count


@both_guarantees
async def test_a_static_member_restarts_without_a_rebalance(kafka_settings, connection):
    settings = await kafka_settings(partitions=4)
    # a restart within the session, however slow the machine
    inputs = [
        settings.input.model_copy(
            update={"group_instance_id": name, "session_timeout_seconds": 60.0}
        )
        for name in ("one", "two", "two")
    ]
    workers = [Worker(settings.model_copy(update={"input": chosen})) for chosen in inputs]
    steady, former, latter = workers
    tasks = [asyncio.create_task(w.run()) for w in (steady, former)]
    await until(lambda: (steady.held, former.held) == (2, 2))
    former.stop()
    await tasks[1]
    epochs = [steady._delivery.epoch(p) for p in steady._delivery._owners]
    tasks[1] = asyncio.create_task(latter.run())
    await until(lambda: latter.held == 2)
    topic = settings.input.topics[0]
    await produce(connection, topic, [event(topic, str(n)) for n in range(40)])
    await until(lambda: steady.outcomes["verdict"] + latter.outcomes["verdict"] == 40)
    assert [steady._delivery.epoch(p) for p in steady._delivery._owners] == epochs
    for worker in (steady, latter):
        worker.stop()
    await asyncio.gather(*tasks)


async def said(process, words):
    async with asyncio.timeout(60):
        while True:
            line = await process.stderr.readline()
            assert line, f"it ended before it said {words!r}"
            if words in line.decode():
                return


@both_guarantees
async def test_sigterm_drains_settles_and_exits_0(kafka_settings, connection):
    settings = await kafka_settings(partitions=2)
    topic = settings.input.topics[0]
    await produce(connection, topic, [event(topic, str(n)) for n in range(300)])
    process = await start_process(
        settings, ENGINE__SIMULATED__TIME_TO_FIRST_TOKEN_SECONDS="1", ENGINE__MAX_NUM_SEQS="8"
    )
    await said(process, "Assigned 2 partitions")
    await asyncio.sleep(2)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(120):
        assert await process.wait() == 0
    offsets = await committed_offsets(connection, topic, settings.input.group_id)
    settled = sum(committed or 0 for _, committed, _ in offsets)
    assert 0 < settled < 300
    verdicts = await read(connection, [settings.output.verdict_topic], settled)
    assert len({record.key for record in verdicts}) == settled


@both_guarantees
async def test_a_second_signal_aborts_what_never_ends(kafka_settings, connection):
    settings = await kafka_settings(partitions=1)
    topic = settings.input.topics[0]
    await produce(connection, topic, [event(topic, "1")])
    process = await start_process(
        settings, ENGINE__SIMULATED__HANG_RATE="1", SHUTDOWN__DRAIN_SECONDS="600"
    )
    await said(process, "Assigned 1 partitions")
    await asyncio.sleep(1)
    process.send_signal(signal.SIGTERM)
    await said(process, "A second signal aborts")
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(120):
        assert await process.wait() == 0
    ((_, committed, _),) = await committed_offsets(connection, topic, settings.input.group_id)
    assert not committed


async def probed(port, path):
    """Whether a probe says yes, and its text."""

    def ask():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as answer:
                return True, answer.read().decode()
        except urllib.error.HTTPError as error:
            return False, error.read().decode()

    return await asyncio.to_thread(ask)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_a_worker_that_starts_before_its_brokers_waits_for_them(broker):
    settings = await settings_on(broker, "at_least_once")
    await asyncio.to_thread(broker.kill)
    port = free_port()
    process = await start_process(settings, HEALTH__PORT=str(port))
    await said(process, "Waiting for Kafka")
    ready, text = await probed(port, "readyz")
    assert not ready
    assert "cannot be reached" in text
    assert broker.bootstrap_servers in text
    assert (await probed(port, "livez"))[0]
    assert (await probed(port, "startupz"))[0]
    await asyncio.to_thread(broker.start)
    await said(process, "Assigned 2 partitions")
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        assert await process.wait() == 0


async def test_a_worker_that_waits_for_its_brokers_ends_at_once(broker):
    settings = await settings_on(broker, "at_least_once")
    await asyncio.to_thread(broker.kill)
    process = await start_process(settings)
    await said(process, "Waiting for Kafka")
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        assert await process.wait() == 0


async def test_the_wait_for_brokers_can_be_bounded(broker):
    settings = await settings_on(broker, "at_least_once")
    await asyncio.to_thread(broker.kill)
    process = await start_process(settings, KAFKA__CONNECT_TIMEOUT_SECONDS="3")
    async with asyncio.timeout(60):
        _, logged = await process.communicate()
    assert process.returncode == 1
    assert "cannot be reached" in logged.decode().splitlines()[-1]
