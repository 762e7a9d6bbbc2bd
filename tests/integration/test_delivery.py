"""The promise, on a real broker: every record ends in one outcome, and offsets follow it."""

import asyncio

import orjson
import pytest

from tests.integration.harness import both_guarantees, event, produce, read, until
from worker.adapters.kafka.reader import committed_offsets, read_topics
from worker.domain.errors import BusUnavailable
from worker.domain.records import OutgoingRecord
from worker.runtime.settings import load_settings
from worker.runtime.worker import Worker

pytestmark = pytest.mark.integration

# a round of prompts outlasts several looks of `until`, which shares the worker's event loop:
# however slow the machine is, a test finds the worker midway
UNHURRIED = {
    "max_num_seqs": 128,
    "simulated": {"time_to_first_token_seconds": 0.2, "time_per_output_token_seconds": 0.0},
}


@both_guarantees
async def test_20000_events_survive_a_worker_that_leaves_midway(kafka_settings, connection):
    count = 20_000
    settings = await kafka_settings(partitions=6, engine=UNHURRIED | {"max_num_seqs": 512})
    topic = settings.input.topics[0]
    await produce(connection, topic, [event(topic, str(n)) for n in range(count)])
    first, second = Worker(settings), Worker(settings)
    running = [asyncio.create_task(worker.run()) for worker in (first, second)]

    await until(lambda: min(sum(first.outcomes.values()), sum(second.outcomes.values())) > 1000)
    second.stop()
    await running[1]
    assert sum(first.outcomes.values()) + sum(second.outcomes.values()) < count
    await until(lambda: sum(first.outcomes.values()) + sum(second.outcomes.values()) >= count)
    first.stop()
    await running[0]

    verdicts = await read(connection, [settings.output.verdict_topic], count)
    seen = [orjson.loads(record.value)["event_id"] for record in verdicts]
    assert set(seen) == {str(n) for n in range(count)}
    # nobody was killed, so nobody judged again either
    assert first.outcomes["verdict"] + second.outcomes["verdict"] == count
    for where, committed, end in await committed_offsets(
        connection, topic, settings.input.group_id
    ):
        assert committed == end, where


@both_guarantees
async def test_a_worker_that_is_killed_loses_nothing(kafka_settings, connection):
    settings = await kafka_settings(partitions=2, engine=UNHURRIED)
    topic = settings.input.topics[0]
    await produce(connection, topic, [event(topic, str(n)) for n in range(3000)])
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.outcomes["verdict"] > 500)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    offsets = await committed_offsets(connection, topic, settings.input.group_id)
    assert sum(committed or 0 for _, committed, _ in offsets) < 3000
    again = Worker(settings)
    running = asyncio.create_task(again.run())
    ids: dict[str, list[str]] = {}
    reader = read_topics(connection, [settings.output.verdict_topic], from_beginning=True)
    async with asyncio.timeout(60):
        while len(ids) < 3000:
            verdict = orjson.loads((await anext(reader)).value)
            ids.setdefault(verdict["event_id"], []).append(verdict["verdict_id"])
    await reader.aclose()
    again.stop()
    await running
    assert all(len(set(names)) == 1 for names in ids.values()), "a redelivery keeps its verdict_id"
    if settings.delivery.guarantee == "exactly_once":
        assert all(len(names) == 1 for names in ids.values())


@both_guarantees
async def test_the_verdict_carries_key_headers_and_provenance(kafka_settings, connection):
    settings = await kafka_settings()
    topic = settings.input.topics[0]
    await produce(connection, topic, [event(topic, "a", response=None)])
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    (record,) = await read(connection, [settings.output.verdict_topic], 1)
    worker.stop()
    await running
    verdict = orjson.loads(record.value)
    headers = dict(record.headers)
    assert record.key == b"a"
    assert headers["x-tenant"] == b"t1"
    assert headers["guardstream.status"] == b"complete"
    assert "guardstream.response_refusal" not in headers
    assert verdict["response_refusal"] == {"label": None, "score": None, "source": None}
    assert verdict["source"]["topic"] == topic
    assert verdict["source"]["offset"] == 0
    assert verdict["flags"] == ["simulated"]
    assert verdict["engine"]["name"] == "simulated"


BIG = b'{"prompt": "' + b"x" * (5 << 20) + b'"}'
BAD = {
    "not JSON": (b"{nonsense", "NotAnEvent"),
    "not UTF-8": (b'{"prompt": "\xff\xfe"}', "NotAnEvent"),
    "wrong type": (b'{"prompt": 42}', "NotAnEvent"),
    "empty": (b"", "NotAnEvent"),
    "array": (b"[]", "NotAnEvent"),
    "no text at all": (b"{}", "NotAnEvent"),
    "no user": (b'{"messages": [{"role": "assistant", "content": "hi"}]}', "NothingToJudge"),
    "not text": (
        b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}',
        "NothingToJudge",
    ),
    "too long for the model": (b'{"prompt": "' + b"word " * 20_000 + b'"}', "PromptTooLong"),
    "5 MB": (BIG, "PromptTooLong"),
}


@both_guarantees
async def test_every_bad_input_has_its_outcome(kafka_settings, connection):
    settings = await kafka_settings(input_bytes=6 << 20)
    topic = settings.input.topics[0]
    bad = [
        OutgoingRecord(topic, name.encode(), value, (("x", b"1"),))
        for name, (value, _) in BAD.items()
    ]
    fine = [event(topic, "twice"), event(topic, "twice"), event(topic, "more", colour="red")]
    tombstone = OutgoingRecord(topic, b"gone", None, ())
    await produce(connection, topic, [*bad, tombstone, *fine])
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    letters = await read(connection, [settings.output.dead_letter_topic], len(BAD))
    verdicts = await read(connection, [settings.output.verdict_topic], len(fine))
    worker.stop()
    await running

    by_key = {record.key.decode(): record for record in letters}
    assert set(by_key) == set(BAD)
    for name, (value, error) in BAD.items():
        headers = dict(by_key[name].headers)
        assert headers["guardstream.error"] == error.encode(), name
        assert headers["__dlq.errors.topic"] == topic.encode()
        assert headers["__dlq.errors.group"] == settings.input.group_id.encode()
        assert headers["x"] == b"1"
        if name == "5 MB":
            assert by_key[name].value == value[: len(by_key[name].value)]
            assert any(str(len(BIG)).encode() == said for said in headers.values())
        else:
            assert by_key[name].value == value, name
    ids = [orjson.loads(record.value)["verdict_id"] for record in verdicts]
    assert len(set(ids)) == len(fine), "two records are two verdicts, whatever their ids"
    assert worker.outcomes["tombstone"] == 1
    ((_, committed, end),) = await committed_offsets(connection, topic, settings.input.group_id)
    assert committed == end


async def test_failing_calls_are_tried_again_and_refusals_are_dead_letters(
    kafka_settings, connection
):
    simulated = {"failure_rate": 0.2, "refusal_rate": 0.1, "time_to_first_token_seconds": 0.0}
    settings = await kafka_settings(engine={"simulated": simulated, "attempts": 20})
    topic = settings.input.topics[0]
    await produce(connection, topic, [event(topic, str(n)) for n in range(500)])
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: sum(worker.outcomes.values()) == 500)
    worker.stop()
    await running
    assert 20 < worker.outcomes["dead_letter"] < 100
    letters = await read(
        connection, [settings.output.dead_letter_topic], worker.outcomes["dead_letter"]
    )
    assert {dict(r.headers)["guardstream.error"] for r in letters} == {b"InvalidRequest"}


async def test_a_missing_topic_is_named(kafka_settings):
    settings = await kafka_settings()
    wrong = settings.model_copy(
        update={"input": settings.input.model_copy(update={"topics": ["nobody-made-this"]})}
    )
    with pytest.raises(BusUnavailable, match="has no topic nobody-made-this"):
        await Worker(wrong).run()


async def test_an_unreachable_broker_is_named():
    settings = load_settings(
        kafka={"bootstrap_servers": "127.0.0.1:1", "connect_timeout_seconds": 0.1},
        engine={"kind": "simulated"},
        health={"port": 0},
    )
    with pytest.raises(BusUnavailable, match=r"127\.0\.0\.1:1 cannot be reached"):
        await Worker(settings).run()


async def test_framed_events_become_cloudevents(kafka_settings, connection):
    settings = await kafka_settings()
    framed = settings.input.model_copy(update={"framing": "confluent"})
    enveloped = settings.output.model_copy(update={"cloudevents": True})
    settings = settings.model_copy(update={"input": framed, "output": enveloped})
    topic = settings.input.topics[0]
    sent = event(topic, "1")
    value = b"\x00\x00\x00\x00\x07" + sent.value
    await produce(connection, topic, [OutgoingRecord(topic, sent.key, value, ())])
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.settled == 1, 30)
    worker.stop()
    await running
    (verdict,) = await read(connection, [settings.output.verdict_topic], 1)
    headers = dict(verdict.headers)
    assert headers["ce_subject"] == b"1"
    assert headers["ce_id"].decode() == orjson.loads(verdict.value)["verdict_id"]
