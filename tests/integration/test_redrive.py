"""Dead letters go back, on a real broker: each once, and never in a circle."""

import asyncio
import json
import os
import sys
import time
import uuid
from datetime import UTC, datetime

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from worker.adapters.kafka.connection import create_topics
from worker.adapters.kafka.publisher import KafkaPublisher
from worker.adapters.kafka.reader import committed_offsets, held_offsets, read_ranges
from worker.domain.dead_letters import dead_letter
from worker.domain.errors import BusUnavailable, InvalidRequest, NotAnEvent
from worker.domain.records import OutgoingRecord, Partition, Record
from worker.operator.redrive.redriver import Redriver, redrive
from worker.operator.redrive.redriving import Selection, SkipReason, read_dead_letter
from worker.runtime.worker import Worker

pytestmark = pytest.mark.integration

EVENTS = 120


async def produce(connection, topic, records):
    publisher = KafkaPublisher(connection, topics=[topic])
    await publisher.start()
    await publisher.publish_all(records)
    await publisher.stop()


async def records_of(connection, topic):
    """All that is committed in the topic now."""
    ranges = await held_offsets(connection, topic)
    return [record async for record in read_ranges(connection, ranges)]


async def letters_of(connection, topic):
    return [letter for r in await records_of(connection, topic) if (letter := read_dead_letter(r))]


async def work_through(settings, *, refusal_rate=None, count):
    """Let a worker judge so many records."""
    if refusal_rate is not None:
        simulated = settings.engine.simulated.model_copy(update={"refusal_rate": refusal_rate})
        engine = settings.engine.model_copy(update={"simulated": simulated})
        settings = settings.model_copy(update={"engine": engine})
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(60):
        while sum(worker.outcomes.values()) < count:
            await asyncio.sleep(0.05)
    worker.stop()
    await running
    assert sum(worker.outcomes.values()) == count
    return worker.outcomes


async def command(settings, *arguments):
    """Run `guardstream redrive` as a person does."""
    variables = {
        "GUARDSTREAM_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "GUARDSTREAM_OUTPUT__DEAD_LETTER_TOPIC": settings.output.dead_letter_topic,
        "COLUMNS": "200",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "redrive", *arguments),
        env=os.environ | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, said = await process.communicate()
    return process.returncode, out.decode(), said.decode()


@pytest.fixture
async def dead_lettered(kafka_settings, connection):
    """Settings of a worker that refused about a third of the events, and its letters."""
    simulated = {"refusal_rate": 0.3, "time_to_first_token_seconds": 0.0}
    settings = await kafka_settings(partitions=3, engine={"simulated": simulated})
    topic = settings.input.topics[0]
    events = [
        OutgoingRecord(
            topic,
            f"k{n}".encode(),
            orjson.dumps({"id": str(n), "prompt": f"How do I bake bread number {n}?"}),
            (("x-tenant", b"t1"), ("x-tenant", b"t2")),
        )
        for n in range(EVENTS)
    ]
    await produce(connection, topic, events)
    await work_through(settings, count=EVENTS)
    letters = await letters_of(connection, settings.output.dead_letter_topic)
    assert 10 < len(letters) < 70
    return settings, letters


def dead(settings, name, *, topic=None, error=None, **changes):
    """A letter that a worker would write."""
    fields = {"key": name.encode(), "value": b"{}", "headers": (), "max_bytes": 1 << 20} | changes
    where = Partition(topic or settings.input.topics[0], 0)
    record = Record(where, 0, 0, fields["key"], fields["value"], fields["headers"], 0, 0.0)
    return dead_letter(
        record,
        error or InvalidRequest("The engine refuses this prompt."),
        topic=settings.output.dead_letter_topic,
        group="g",
        max_bytes=fields["max_bytes"],
        delivery_count=1,
    )


async def test_a_dry_run_changes_nothing_and_send_has_them_judged(dead_lettered, connection):
    settings, letters = dead_lettered
    topics = [settings.input.topics[0], settings.output.dead_letter_topic]
    before = [await held_offsets(connection, topic) for topic in topics]

    code, out, said = await command(settings)
    assert (code, said) == (0, "")
    assert f"A dry run: {len(letters)} dead letters would be sent back" in out
    assert [await held_offsets(connection, topic) for topic in topics] == before

    code, out, said = await command(settings, "--send")
    assert (code, said) == (0, "")
    assert f"{len(letters)} dead letters sent back." in out
    events = await records_of(connection, topics[0])
    assert len(events) == EVENTS + len(letters)
    first = {}
    for record in events:
        first.setdefault(record.key, record)
    again = [r for r in events if r is not first[r.key]]
    assert {r.key for r in again} == {letter.record.key for letter in letters}
    for record in again:
        assert record.value == first[record.key].value
        assert record.headers == (*first[record.key].headers, ("guardstream.delivery.count", b"1"))

    outcomes = await work_through(settings, refusal_rate=0.0, count=len(letters))
    assert outcomes["verdict"] == len(letters)
    verdicts = await records_of(connection, settings.output.verdict_topic)
    assert {orjson.loads(r.value)["event_id"] for r in verdicts} == {str(n) for n in range(EVENTS)}
    assert not [r for r in verdicts if "guardstream.delivery.count" in dict(r.headers)]
    for where, committed, end in await committed_offsets(
        connection, topics[0], settings.input.group_id
    ):
        assert committed == end, where


async def test_no_letter_is_sent_twice_whatever_the_filters(dead_lettered, connection, monkeypatch):
    monkeypatch.setattr("worker.operator.redrive.redriver._DEAD_LETTERS_AT_ONCE", 4)
    settings, letters = dead_lettered
    topic = settings.output.dead_letter_topic
    one = letters[-1].record.key

    async def send(selection, **options):
        return await redrive(connection, topic, selection, max_deliveries=3, send=True, **options)

    assert (await send(Selection(keys=[one]))).taken.total() == 1
    assert (await send(Selection(), limit=2)).taken.total() == 2
    rest = await send(Selection())
    assert rest.taken.total() == len(letters) - 3
    assert sum(rest.skipped_for(SkipReason.REDRIVEN).values()) == 3
    nothing = await send(Selection())
    assert nothing.taken.total() == 0
    assert sum(nothing.skipped_for(SkipReason.REDRIVEN).values()) == len(letters)
    assert nothing.other_records == 0
    assert len(await records_of(connection, settings.input.topics[0])) == EVENTS + len(letters)


async def test_the_count_rises_until_the_circle_stops(dead_lettered, connection):
    settings, letters = dead_lettered
    topic = settings.output.dead_letter_topic
    for deliveries in (1, 2):
        plan = await redrive(connection, topic, Selection(), max_deliveries=3, send=True)
        assert plan.taken.total() == len(letters)
        # the engine refuses the same prompts again
        outcomes = await work_through(settings, count=len(letters))
        assert outcomes["dead_letter"] == len(letters)
        counts = [letter.deliveries for letter in await letters_of(connection, topic)]
        assert counts.count(deliveries + 1) == len(letters)
    code, out, _ = await command(settings, "--send")
    assert code == 0
    assert f"{len(letters)} dead letters left after 3 deliveries or more" in out
    assert "0 dead letters sent back." in out
    lines = (await command(settings, "--json", "--max-deliveries", "4"))[1].splitlines()
    assert json.loads(lines[-1])["letters"] == len(letters)


async def test_a_redrive_that_dies_midway_loses_none_and_repeats_none(dead_lettered, connection):
    settings, letters = dead_lettered
    topic = settings.output.dead_letter_topic
    stalled, goes_on = asyncio.Event(), asyncio.Event()
    dying = Redriver(connection, topic)
    await dying.start()
    await dying.send(letters[:3])
    commit = dying._transactor.producer.commit_transaction

    async def commit_late():
        stalled.set()
        await goes_on.wait()
        await commit()

    # all is sent, nothing committed: as after a kill, or in a process that is stopped
    dying._transactor.producer.commit_transaction = commit_late
    sending = asyncio.create_task(dying.send(letters[3:6]))
    await stalled.wait()

    plan = await redrive(connection, topic, Selection(), max_deliveries=3, send=True)
    assert plan.taken.total() == len(letters) - 3
    # should it wake, nobody listens
    goes_on.set()
    with pytest.raises(
        BusUnavailable, match=r"Another redrive .* 3 dead letters were sent back before"
    ):
        await sending
    await dying.stop()
    sent = [
        r.key
        for r in await records_of(connection, settings.input.topics[0])
        if "guardstream.delivery.count" in dict(r.headers)
    ]
    assert sorted(sent) == sorted(letter.record.key for letter in letters)


async def test_what_cannot_be_sent_back_is_named_and_the_others_go(kafka_settings, connection):
    settings = await kafka_settings()
    topic = settings.output.dead_letter_topic
    gone = f"gone-{uuid.uuid4().hex[:8]}"
    await create_topics(connection, [gone], partitions=1)
    nasty = "\x1b[31m[red]\nkey"
    await produce(
        connection,
        topic,
        [
            dead(settings, nasty),
            dead(settings, "gone", topic=gone),
            dead(settings, "cut", value=b"x" * 100_000, max_bytes=50_000),
            OutgoingRecord(topic, b"foreign", b"?", ()),
        ],
    )
    admin = AIOKafkaAdminClient(**connection.arguments())
    await admin.start()
    await admin.delete_topics([gone])
    await admin.close()

    code, out, said = await command(settings, "--send")
    assert code == 1
    assert said == (
        f"guardstream: The topic {gone} is gone, so 1 dead letter cannot go back;"
        " create it and run redrive again.\n"
    )
    assert "1 dead letter sent back." in out
    assert "no dead letters of Guardstream: 1." in out
    assert (
        f"{topic}/" in out.split("1 dead letter truncated to fit the topic cannot be sent back")[1]
    )
    assert "\\x1b[31m[red]\\nkey" in out
    assert "\x1b" not in out
    (back,) = await records_of(connection, settings.input.topics[0])
    assert back.key == nasty.encode()


async def test_filters_and_json(kafka_settings, connection):
    settings = await kafka_settings()
    topic = settings.output.dead_letter_topic
    # recent enough for the topic's retention
    three_hours_ago, one_hour_ago = (int((time.time() - h * 3600) * 1000) for h in (3, 1))
    producer = AIOKafkaProducer(**connection.arguments())
    await producer.start()
    for name, at, error in (
        ("a", three_hours_ago, NotAnEvent("The value is empty.")),
        ("b", one_hour_ago, None),
        ("c", one_hour_ago + 1, None),
    ):
        letter = dead(settings, name, error=error)
        headers = list(letter.headers)
        await producer.send_and_wait(
            topic, key=letter.key, value=letter.value, headers=headers, timestamp_ms=at
        )
    await producer.stop()

    async def selected(*arguments):
        code, out, said = await command(settings, "--json", *arguments)
        assert code == 0, said
        lines = [json.loads(line) for line in out.splitlines()]
        assert lines[-1]["sent"] is False
        keys = "".join(sorted(line["key"] for line in lines if line["kind"] == "letter"))
        counts = [line["letters"] for line in lines if line["kind"] == "count"]
        assert lines[-1]["letters"] == sum(counts) == len(keys)
        return keys

    exactly = datetime.fromtimestamp(one_hour_ago / 1000, UTC).isoformat()
    assert await selected() == "abc"
    assert await selected("--stage", "decode", "--stage", "render") == "a"
    assert await selected("--error", "InvalidRequest", "--since", "2h") == "bc"
    assert await selected("--until", exactly) == "a"
    assert await selected("--since", exactly, "--key", "a", "--key", "b") == "b"
    assert await selected("--since", "30m") == ""
    assert await selected("--topic", "elsewhere") == ""
    assert len(await selected("--limit", "1", "--topic", settings.input.topics[0])) == 1


@pytest.mark.parametrize(
    "arguments", [["--stage", "nowhere"], ["--since", "yesterday"], ["--limit", "0"]]
)
async def test_wrong_usage_is_said(kafka_settings, arguments):
    code, _, said = await command(await kafka_settings(), *arguments)
    assert code == 2
    assert arguments[0] in said or arguments[1] in said
