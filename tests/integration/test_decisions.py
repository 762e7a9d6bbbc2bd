"""Decisions on a real broker: with their verdicts, and by the policy of the moment."""

import asyncio
from collections import Counter

import orjson
import pytest

from tests.integration.harness import both_guarantees, event, produce, read, start_process, until
from tests.unit.policy.policies import rule, text
from worker.adapters.kafka.reader import committed_offsets, held_offsets, read_ranges
from worker.domain.verdict_records import action_of
from worker.operator.preflight import check_settings
from worker.policy.judged import read_judged
from worker.policy.policy import load_policy
from worker.runtime.worker import Worker

pytestmark = pytest.mark.integration


@pytest.fixture
def policy_file(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_bytes(text(rule('"simulated" in flags', "block"), simulated="review"))
    return path


def by_id(records):
    found = [orjson.loads(record.value) for record in records]
    return {one["verdict_id"]: one for one in found}


async def everything(connection, topic):
    """All that a topic holds by now."""
    return [one async for one in read_ranges(connection, await held_offsets(connection, topic))]


async def stop(worker, running):
    worker.stop()
    await running


@both_guarantees
async def test_each_verdict_has_one_decision_that_can_be_made_again(
    kafka_settings, connection, policy_file
):
    count, bad = 500, 20
    settings = await kafka_settings(partitions=4, policy={"file": str(policy_file)})
    topic, output = settings.input.topics[0], settings.output
    events = [event(topic, str(n), user_id=f"u{n}") for n in range(count)]
    letters = [event(topic, f"bad-{n}", prompt=" ") for n in range(bad)]
    await produce(connection, topic, [*events, *letters])
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    verdicts = await read(connection, [output.verdict_topic], count)
    # the reader sees committed records only
    decisions = await read(connection, [output.decision_topic], count)
    dead = await read(connection, [output.dead_letter_topic], bad)
    await until(lambda: worker.settled == count + bad)
    await stop(worker, running)
    assert worker.outcomes == {"verdict": count, "dead_letter": bad}
    policy = load_policy(policy_file)
    found, stored = by_id(decisions), by_id(verdicts)
    assert len(found) == len(stored) == count
    for verdict_id, verdict in stored.items():
        again = orjson.loads(orjson.dumps(policy.decide(read_judged(verdict), 0.0)))
        assert {**again, "decided_at": None} == {**found[verdict_id], "decided_at": None}
    keys = {record.key: action_of(record.headers) for record in verdicts}
    assert {record.key: action_of(record.headers) for record in decisions} == keys
    assert Counter(keys.values()) == {"review": count}
    assert {action_of(record.headers) for record in dead} == {"review"}
    committed = await committed_offsets(connection, topic, settings.input.group_id)
    assert all(offset == end for _, offset, end in committed)


async def test_a_repeated_verdict_has_the_same_decision_id(kafka_settings, connection, policy_file):
    count = 400
    slow = {"max_num_seqs": 8, "simulated": {"time_to_first_token_seconds": 0.05}}
    settings = await kafka_settings(
        partitions=2,
        policy={"file": str(policy_file)},
        engine=slow,
        # a worker that dies has published what it has not committed
        delivery={"commit_interval_seconds": 600.0},
    )
    topic, decided = settings.input.topics[0], settings.output.decision_topic
    await produce(connection, topic, [event(topic, str(n)) for n in range(count)])
    process = await start_process(
        settings,
        OUTPUT__DECISION_TOPIC=decided,
        POLICY__FILE=str(policy_file),
        DELIVERY__COMMIT_INTERVAL_SECONDS="600",
        ENGINE__MAX_NUM_SEQS="8",
    )
    before = await read(connection, [decided], 50)
    process.kill()
    await process.communicate()
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: sum(worker.outcomes.values()) == count)
    await until(lambda: worker.settled == count)
    await stop(worker, running)
    after = await everything(connection, decided)
    assert len(after) >= count + len(before)
    ids = Counter(orjson.loads(record.value)["decision_id"] for record in after)
    assert len(ids) == count
    assert max(ids.values()) > 1
    verdicts = await everything(connection, settings.output.verdict_topic)
    assert by_id(after).keys() == by_id(verdicts).keys()


async def test_a_changed_file_decides_without_a_restart(kafka_settings, connection, policy_file):
    settings = await kafka_settings(policy={"file": str(policy_file)})
    topic, decided = settings.input.topics[0], settings.output.decision_topic
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    found = []
    for version, held in (
        ("1", None),
        ("2", text(version="2", simulated="block")),
        # broken: the one before stays
        ("2", b"name: broken"),
        ("3", text(version="3")),
    ):
        if held is not None:
            new = policy_file.with_name("new")
            new.write_bytes(held)
            new.replace(policy_file)
            await asyncio.sleep(1.1)
        await produce(connection, topic, [event(topic, f"e{len(found)}")])
        records = await read(connection, [decided], len(found) + 1)
        made = [orjson.loads(record.value) for record in records]
        found.append((version, {one["event_id"]: one for one in made}[f"e{len(found)}"]))
    await stop(worker, running)
    assert [one["policy"]["version"] for _, one in found] == [version for version, _ in found]
    assert [one["action"] for _, one in found] == ["review", "block", "block", "log"]


async def test_check_wants_policy_and_decision_topic_where_a_policy_decides(
    kafka_settings, connection, policy_file
):
    settings = await kafka_settings(policy={"file": str(policy_file)})
    found = {one.check: one for one in await check_settings(settings)}
    assert found["decision topic"].passed
    assert settings.output.decision_topic in found["decision topic"].text
    assert found["policy"].text == "test, version 1: 1 rule"
    policy_file.write_bytes(b"name: broken")
    found = {one.check: one for one in await check_settings(settings)}
    assert not found["policy"].passed
    assert str(policy_file) in found["policy"].text
    missing = settings.model_copy(
        update={"output": settings.output.model_copy(update={"decision_topic": "not-there"})}
    )
    found = {one.check: one for one in await check_settings(missing)}
    assert not found["decision topic"].passed
    assert "not-there" in found["decision topic"].text
    without = await kafka_settings()
    assert "decision topic" not in {one.check for one in await check_settings(without)}
