"""Static members: what becomes of two workers that were given one `input.group_instance_id`."""

import asyncio
import signal
import sys

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from tests.integration.harness import both_guarantees, event, produce, start_process, until
from worker.adapters.kafka import membership
from worker.adapters.kafka.reader import committed_offsets
from worker.domain.errors import BusUnavailable, InstanceReplaced
from worker.runtime.worker import Worker

pytestmark = pytest.mark.integration

COUNT = 40
# half a minute is promised; a busy machine gets more
ENDS_WITHIN_SECONDS = 120


class Member:
    """A worker as a process; what it logs is read as it comes."""

    def __init__(self, process):
        self.process = process
        self.lines = []
        self.reading = asyncio.create_task(self._read())

    async def _read(self):
        async for line in self.process.stderr:
            self.lines.append(line.decode().strip())

    async def until_logged(self, words):
        async with asyncio.timeout(120):
            while not any(words in line for line in self.lines):
                assert not self.reading.done(), self.lines
                await asyncio.sleep(0.05)

    async def ended(self, within_seconds=60):
        async with asyncio.timeout(within_seconds):
            await self.reading
            return await self.process.wait()


@pytest.fixture
async def start():
    """Starts workers, and shows what each logged if the test fails."""
    members = []

    async def start(settings, instance_id, **environment):
        variables = {
            "INPUT__GROUP_INSTANCE_ID": instance_id,
            # slow enough that a worker that is evicted every few seconds judges nothing
            "ENGINE__SIMULATED__TIME_TO_FIRST_TOKEN_SECONDS": "4",
            "ENGINE__MAX_NUM_SEQS": "16",
        }
        members.append(Member(await start_process(settings, **(variables | environment))))
        return members[-1]

    yield start
    for member in members:
        if member.process.returncode is None:
            member.process.kill()
        await member.ended()
        sys.stdout.write("\n".join([f"{member.process.pid}:", *member.lines, ""]))


async def stop(*members):
    for member in members:
        member.process.send_signal(signal.SIGTERM)
    assert [await member.ended() for member in members] == [0] * len(members)


async def until_settled(connection, settings):
    topic, group = settings.input.topics[0], settings.input.group_id
    async with asyncio.timeout(90):
        while True:
            offsets = await committed_offsets(connection, topic, group)
            if all(committed == end for _, committed, end in offsets if end):
                return
            await asyncio.sleep(0.5)


async def produce_events(connection, settings, start=0):
    topic = settings.input.topics[0]
    names = [str(n) for n in range(start, start + COUNT)]
    await produce(connection, topic, [event(topic, name) for name in names])
    return names


def build(settings, instance_id, session_timeout_seconds=10.0):
    chosen = settings.input.model_copy(
        update={
            "group_instance_id": instance_id,
            "session_timeout_seconds": session_timeout_seconds,
        }
    )
    return Worker(settings.model_copy(update={"input": chosen}))


@both_guarantees
async def test_the_older_of_two_workers_with_one_id_ends_and_the_rest_go_on(
    kafka_settings, connection, caplog
):
    caplog.set_level("INFO")
    settings = await kafka_settings(partitions=4)
    older, third, newer = (build(settings, name) for name in ("rack-1", "rack-2", "rack-1"))
    former = asyncio.create_task(older.run())
    await until(lambda: older.held == 4)
    others = [asyncio.create_task(third.run())]
    await until(lambda: (older.held, third.held) == (2, 2))
    others.append(asyncio.create_task(newer.run()))
    await asyncio.wait([former], timeout=ENDS_WITHIN_SECONDS)
    with pytest.raises(InstanceReplaced, match=r"as rack-1; .* input\.group_instance_id"):
        former.result()
    await until(lambda: (newer.held, third.held) == (2, 2))
    names = await produce_events(connection, settings)
    await until_settled(connection, settings)
    assert newer.outcomes["verdict"] + third.outcomes["verdict"] == len(names)
    # only the older lost what it had, and at most once
    assert sum("Lost" in record.message for record in caplog.records) <= 1
    newer.stop()
    third.stop()
    await asyncio.gather(*others)


async def test_the_older_worker_exits_1_with_a_line_that_names_the_id(
    kafka_settings, connection, start
):
    settings = await kafka_settings(partitions=2)
    older = await start(settings, "rack-1")
    await older.until_logged("Assigned 2 partitions")
    await produce_events(connection, settings)
    newer = build(settings, "rack-1")
    running = asyncio.create_task(newer.run())
    await until(lambda: newer.held == 2)
    assert await older.ended(ENDS_WITHIN_SECONDS) == 1
    assert "rack-1" in older.lines[-1]
    assert "input.group_instance_id" in older.lines[-1]
    await until_settled(connection, settings)
    newer.stop()
    await running


async def test_a_frozen_worker_that_was_replaced_ends_when_it_wakes(
    kafka_settings, connection, start
):
    settings = await kafka_settings(partitions=2)
    frozen = await start(settings, "rack-1", INPUT__SESSION_TIMEOUT_SECONDS="6")
    await frozen.until_logged("Assigned 2 partitions")
    frozen.process.send_signal(signal.SIGSTOP)
    newer = build(settings, "rack-1")
    running = asyncio.create_task(newer.run())
    await until(lambda: newer.held == 2)
    await asyncio.sleep(7)  # past the session of the frozen one
    await produce_events(connection, settings)
    frozen.process.send_signal(signal.SIGCONT)
    assert await frozen.ended(ENDS_WITHIN_SECONDS) == 1
    assert "rack-1" in frozen.lines[-1]
    await until_settled(connection, settings)
    assert not running.done()
    newer.stop()
    await running


async def test_a_worker_that_woke_up_late_and_was_not_replaced_joins_again(
    kafka_settings, connection, start
):
    settings = await kafka_settings(partitions=2)
    worker = await start(settings, "rack-1", INPUT__SESSION_TIMEOUT_SECONDS="6")
    await worker.until_logged("Assigned 2 partitions")
    worker.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(8)
    worker.lines.clear()
    worker.process.send_signal(signal.SIGCONT)
    await worker.until_logged("Assigned 2 partitions")
    await produce_events(connection, settings)
    await until_settled(connection, settings)
    await stop(worker)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_worker_that_restarts_under_its_id_goes_on(kafka_settings, connection, start, how):
    settings = await kafka_settings(partitions=2)
    former = await start(settings, "rack-1")
    await former.until_logged("Assigned 2 partitions")
    former.process.send_signal(how)
    await former.ended()
    latter = await start(settings, "rack-1")
    await latter.until_logged("Assigned 2 partitions")
    await produce_events(connection, settings)
    await until_settled(connection, settings)
    await stop(latter)


async def test_a_group_with_another_assignment_strategy_is_named(kafka_settings, connection):
    settings = await kafka_settings()
    topic, group = settings.input.topics[0], settings.input.group_id
    other = AIOKafkaConsumer(
        topic,
        **connection.arguments(),
        group_id=group,
        partition_assignment_strategy=[RangePartitionAssignor],
    )
    async with other:
        with pytest.raises(BusUnavailable) as caught:
            async with asyncio.timeout(60):
                await Worker(settings).run()
    assert f"Group {group} has members with another assignment strategy" in str(caught.value)
    assert "input.group_id" in str(caught.value)


async def test_a_member_that_does_not_ask_is_found_out(kafka_settings, monkeypatch):
    """The mutant: aiokafka's own membership, with which two workers fight for the name."""
    settings = await kafka_settings(partitions=2)
    older, newer = build(settings, "rack-1"), build(settings, "rack-1")
    monkeypatch.setattr(membership.Member, "_do_rejoin_group", GroupCoordinator._do_rejoin_group)
    former = asyncio.create_task(older.run())
    await until(lambda: older.held == 2)
    latter = asyncio.create_task(newer.run())
    await asyncio.wait([former], timeout=15)
    ended = former.done()
    monkeypatch.undo()
    older.stop()
    newer.stop()
    await asyncio.gather(former, latter, return_exceptions=True)
    assert not ended, "the test above would not have seen it"
