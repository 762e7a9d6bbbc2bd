"""Static members: what becomes of two workers that were given one `input.group_instance_id`."""

import asyncio
import signal
import time

import pytest

from tests.integration.house import both_guarantees, event, produce, start_process
from worker.adapters.kafka.reader import committed_offsets, read_topics

pytestmark = pytest.mark.integration

COUNT = 40
ENDS_WITHIN_SECONDS = 30


async def member(settings, instance_id, **environment):
    """A worker as a process; what it logs can be read as it comes."""
    variables = {
        "INPUT__GROUP_INSTANCE_ID": instance_id,
        # slow enough that a worker that is evicted every few seconds judges nothing
        "ENGINE__SIMULATED__TIME_TO_FIRST_TOKEN_SECONDS": "4",
        "ENGINE__MAX_NUM_SEQS": "16",
    }
    return await start_process(settings, **(variables | environment))


async def until_logged(process, words):
    logged = []
    try:
        async with asyncio.timeout(120):
            async for line in process.stderr:
                logged.append(line.decode())
                if words in logged[-1]:
                    return
    except TimeoutError:
        process.kill()
    raise AssertionError(f"it never logged {words!r}, but {logged}")


async def last_line(process):
    async with asyncio.timeout(ENDS_WITHIN_SECONDS):
        rest = await process.stderr.read()
        await process.wait()
    return rest.decode().splitlines()[-1]


async def stop(*processes):
    for process in processes:
        process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        results = await asyncio.gather(*(process.communicate() for process in processes))
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [logged.decode() for _, logged in results]


async def until_settled(connection, settings):
    topic, group = settings.input.topics[0], settings.input.group_id
    async with asyncio.timeout(90):
        while True:
            offsets = await committed_offsets(connection, topic, group)
            if all(committed == end for _, committed, end in offsets if end):
                return
            await asyncio.sleep(0.5)


async def until_judged(connection, settings, names):
    """At least once: the older may have judged a record that the newer judges again."""
    missing = {name.encode() for name in names}
    reader = read_topics(connection, [settings.output.verdict_topic], from_beginning=True)
    async with asyncio.timeout(60):
        while missing:
            missing.discard((await anext(reader)).key)
    await reader.aclose()


async def produce_events(connection, settings, start=0):
    topic = settings.input.topics[0]
    names = [str(n) for n in range(start, start + COUNT)]
    await produce(connection, topic, [event(topic, name) for name in names])
    return names


@both_guarantees
async def test_the_older_of_two_workers_with_one_id_ends_and_the_rest_go_on(
    kafka_settings, connection
):
    settings = await kafka_settings(partitions=4)
    older = await member(settings, "rack-1")
    await until_logged(older, "Assigned 4 partitions")
    third = await member(settings, "rack-2")
    await until_logged(third, "Assigned 2 partitions")
    names = await produce_events(connection, settings)
    newer = await member(settings, "rack-1")
    await until_logged(newer, "Assigned 2 partitions")
    began = time.monotonic()
    line = await last_line(older)
    assert time.monotonic() - began < ENDS_WITHIN_SECONDS
    assert older.returncode == 1
    assert "rack-1" in line
    assert "input.group_instance_id" in line
    await until_settled(connection, settings)
    logs = await stop(newer, third)
    assert not any("Lost" in log for log in logs)
    await until_judged(connection, settings, names)


async def test_a_frozen_worker_that_was_replaced_ends_when_it_wakes(kafka_settings, connection):
    settings = await kafka_settings(partitions=2)
    frozen = await member(settings, "rack-1", INPUT__SESSION_TIMEOUT_SECONDS="6")
    await until_logged(frozen, "Assigned 2 partitions")
    frozen.send_signal(signal.SIGSTOP)
    try:
        newer = await member(settings, "rack-1", INPUT__SESSION_TIMEOUT_SECONDS="6")
        await until_logged(newer, "Assigned 2 partitions")
        await asyncio.sleep(7)  # past the session of the frozen one
        await produce_events(connection, settings)
    finally:
        frozen.send_signal(signal.SIGCONT)
    line = await last_line(frozen)
    assert frozen.returncode == 1
    assert "rack-1" in line
    await until_settled(connection, settings)
    assert "Lost" not in (await stop(newer))[0]


async def test_a_worker_that_woke_up_late_and_was_not_replaced_joins_again(
    kafka_settings, connection
):
    settings = await kafka_settings(partitions=2)
    worker = await member(settings, "rack-1", INPUT__SESSION_TIMEOUT_SECONDS="6")
    await until_logged(worker, "Assigned 2 partitions")
    worker.send_signal(signal.SIGSTOP)
    await asyncio.sleep(8)
    worker.send_signal(signal.SIGCONT)
    await until_logged(worker, "Assigned 2 partitions")
    await produce_events(connection, settings)
    await until_settled(connection, settings)
    await stop(worker)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_worker_that_restarts_under_its_id_goes_on(kafka_settings, connection, how):
    settings = await kafka_settings(partitions=2)
    former = await member(settings, "rack-1")
    await until_logged(former, "Assigned 2 partitions")
    former.send_signal(how)
    await former.communicate()
    latter = await member(settings, "rack-1")
    await until_logged(latter, "Assigned 2 partitions")
    await produce_events(connection, settings)
    await until_settled(connection, settings)
    await stop(latter)
