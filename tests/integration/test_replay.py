"""`guardstream run --start-at TIME --until-end`: a bounded replay, in a group of its own."""

import asyncio
from datetime import UTC, datetime

import orjson
import pytest

from tests.integration.harness import both_guarantees, event, produce, read, start_process
from worker.adapters.kafka.reader import committed_offsets
from worker.runtime.replay import ProgressLog, replay_group

pytestmark = pytest.mark.integration


async def replay(settings, *options, **environment):
    process = await start_process(settings, "run", *options, **environment)
    async with asyncio.timeout(120):
        out, said = await process.communicate()
    return process.returncode, (out + said).decode()


def moment():
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@both_guarantees
async def test_what_came_after_a_time_is_judged_once_in_a_group_of_its_own(
    kafka_settings, connection
):
    settings = await kafka_settings(partitions=3)
    topic, verdicts = settings.input.topics[0], settings.output.verdict_topic
    await produce(connection, topic, [event(topic, f"before-{n}") for n in range(10)])
    await asyncio.sleep(0.05)
    start = moment()
    await produce(connection, topic, [event(topic, f"after-{n}") for n in range(30)])
    code, said = await replay(settings, "--start-at", start, "--until-end")
    assert code == 0, said
    found = [orjson.loads(one.value)["event_id"] for one in await read(connection, [verdicts], 30)]
    assert sorted(found) == sorted(f"after-{n}" for n in range(30))
    assert "offsets until the end of now, in the group" in said
    assert f"Verdicts go to {verdicts}" in said
    assert "Judged 30 verdicts, 0 dead letters" in said
    # the group of the settings has not moved
    own = await committed_offsets(connection, topic, settings.input.group_id)
    assert {committed for _, committed, _ in own} == {None}

    # the same command has nothing left to do; what came since is judged
    code, said = await replay(settings, "--start-at", start, "--until-end")
    assert code == 0
    assert "Judged 0 verdicts" in said
    await produce(connection, topic, [event(topic, "late")])
    code, said = await replay(settings, "--start-at", start, "--until-end")
    assert "Judged 1 verdicts" in said


async def test_the_group_of_the_settings_goes_on_until_the_end(kafka_settings, connection):
    settings = await kafka_settings(partitions=2)
    topic = settings.input.topics[0]
    await produce(connection, topic, [event(topic, str(n)) for n in range(12)])
    code, said = await replay(settings, "--until-end")
    assert code == 0, said
    assert "Judged 12 verdicts" in said
    own = await committed_offsets(connection, topic, settings.input.group_id)
    assert all(committed == end for _, committed, end in own)


async def test_a_replay_that_is_stopped_goes_on(kafka_settings, connection):
    settings = await kafka_settings()
    topic, verdicts = settings.input.topics[0], settings.output.verdict_topic
    start = moment()
    await produce(connection, topic, [event(topic, str(n)) for n in range(60)])
    slow = {"ENGINE__SIMULATED__TIME_TO_FIRST_TOKEN_SECONDS": "0.5", "ENGINE__MAX_NUM_SEQS": "4"}
    running = await start_process(
        settings, "run", "--start-at", start, "--until-end", BATCH__MAX_RECORDS="4", **slow
    )
    await read(connection, [verdicts], 5)
    running.terminate()
    await running.communicate()
    assert running.returncode == 0
    code, said = await replay(settings, "--start-at", start, "--until-end")
    assert code == 0, said
    assert "Judged 60 verdicts" not in said
    found = [orjson.loads(one.value)["event_id"] for one in await read(connection, [verdicts], 60)]
    assert sorted(found, key=int) == [str(n) for n in range(60)]


async def test_a_group_needs_a_start(kafka_settings):
    settings = await kafka_settings()
    code, said = await replay(settings, "--group", "mine")
    assert code == 2
    assert "--start-at" in said


def test_the_name_of_the_group_is_the_time():
    assert replay_group("g", 1_764_000_000_000) == "g-replay-20251124T160000Z"


def test_progress_says_how_long_the_rest_takes(caplog):
    caplog.set_level("INFO")
    times = iter([0.0, 10.0, 40.0, 50.0])
    log = ProgressLog(lambda: next(times))
    for done in (0, 100, 400, 1000):
        log(done, 1000)
    assert [one.getMessage() for one in caplog.records] == [
        "Replay: 400 of 1,000 offsets (40 %), 10/s, 60 s left.",
        "Replay: 1,000 of 1,000 offsets (100 %), 20/s.",
    ]
