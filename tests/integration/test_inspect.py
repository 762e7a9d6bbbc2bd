"""What a verdict came from is found again, on a real broker, as a person asks for it."""

import asyncio
import json
import os
import sys
import time
import uuid

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from tests.integration.harness import event, produce, read, until
from worker.domain.dead_letters import dead_letter
from worker.domain.errors import InvalidRequest
from worker.domain.records import OutgoingRecord, Partition, Record
from worker.guards.guardreasoner.prompt import render
from worker.runtime.worker import Worker

pytestmark = pytest.mark.integration

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())


async def judge_all(settings, count, **changes):
    if changes:
        settings = settings.model_copy(update={"input": settings.input.model_copy(update=changes)})
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: sum(worker.outcomes.values()) >= count or running.done(), 60)
    worker.stop()
    await running


async def command(settings, *arguments):
    """Run `guardstream inspect` as a person does."""
    variables = {
        "KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "INPUT__GROUP_ID": settings.input.group_id,
        "OUTPUT__VERDICT_TOPIC": settings.output.verdict_topic,
        "OUTPUT__DEAD_LETTER_TOPIC": settings.output.dead_letter_topic,
        "ENGINE__KIND": "simulated",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "inspect", *arguments),
        env=os.environ | {f"GUARDSTREAM_{name}": value for name, value in variables.items()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, said = await process.communicate()
    return process.returncode, out.decode(), said.decode()


async def findings(settings, *arguments, count=1):
    code, out, said = await command(settings, *arguments, "--json")
    assert (code, said) == (0, "")
    found = json.loads(out)
    assert found["left_out"] == 0
    assert len(found["findings"]) == count
    return found["findings"]


async def send(connection, topic, value, **fields):
    producer = AIOKafkaProducer(**connection.arguments())
    await producer.start()
    await producer.send_and_wait(topic, value, **fields)
    await producer.stop()


@pytest.fixture
async def judged(kafka_settings, connection):
    """Settings of a worker that judged ten events and dead_lettered one."""
    settings = await kafka_settings()
    topic = settings.input.topics[0]
    records = [event(topic, str(n), response="Sure!") for n in range(10)]
    traced = records[7]
    records[7] = OutgoingRecord(topic, traced.key, traced.value, (*traced.headers, TRACEPARENT))
    await produce(connection, topic, [*records, OutgoingRecord(topic, b"k", b'{"id": "bad"}', ())])
    await judge_all(settings, 11)
    return settings


async def test_a_verdict_by_its_records_place_by_its_event_and_by_its_own(judged, connection):
    topic = judged.input.topics[0]
    verdicts = await read(connection, [judged.output.verdict_topic], 10)
    (mine,) = [r for r in verdicts if orjson.loads(r.value)["event_id"] == "7"]
    by_place = (await findings(judged, f"{topic}/0@7"))[0]
    assert by_place["source"] == {"topic": topic, "partition": 0, "offset": 7}
    assert by_place["event"]["prompt"] == "How do I bake bread number 7?"
    rendered = render("How do I bake bread number 7?", "Sure!").text
    assert by_place["prompt"] == rendered
    assert by_place["record"]["trace_id"] == TRACE
    assert (by_place["is_committed"], by_place["committed_offset"]) == (True, 11)
    (outcome,) = by_place["outcomes"]
    assert (outcome["kind"], outcome["at"]) == ("verdict", str(mine))
    assert outcome["verdict"] == orjson.loads(mine.value)
    for where in (f"{topic}/0/7", "7", str(mine)):
        assert await findings(judged, where) == [by_place]
    assert await findings(judged, "7", "--since", "5m") == [by_place]

    code, out, said = await command(judged, "7")
    assert (code, said) == (0, "")
    assert f"Record {topic}/0@7\n" in out
    assert f"trace                 {TRACE}\n" in out
    assert f"yes; {judged.input.group_id} resumes at offset 11\n" in out
    assert "   │ How do I bake bread number 7?\n" in out
    assert f"Verdict {mine}\n" in out
    assert "\x1b" not in out


async def test_a_dead_letter_by_its_records_place_by_its_event_and_by_its_own(judged, connection):
    (letter,) = await read(connection, [judged.output.dead_letter_topic], 1)
    by_place = (await findings(judged, f"{judged.input.topics[0]}/0@10"))[0]
    assert by_place["event"] is None
    assert by_place["not_judged"]["error"] == "NotAnEvent"
    (outcome,) = by_place["outcomes"]
    expected = {"kind": "dead_letter", "stage": "decode", "error": "NotAnEvent", "deliveries": 1}
    assert outcome == outcome | expected | {"at": str(letter), "complete": True, "sent_back": False}
    for where in ("bad", str(letter)):
        assert await findings(judged, where) == [by_place]


async def test_what_is_not_there_is_said_in_a_sentence(judged, connection):
    topic, verdicts = judged.input.topics[0], judged.output.verdict_topic
    await send(connection, verdicts, b"no verdict", partition=1)
    ends = [r.offset for r in await read(connection, [verdicts], 11) if r.partition.number == 1]
    for where, sentence in (
        ("nobody", f"No verdict or dead letter in {verdicts} and "),
        ("\x1b[31m/0@1", f"No verdict or dead letter in {verdicts} and "),
        ("no-topic/0@1", "There is no topic no-topic. No verdict or dead letter in "),
        (f"{topic}/0@11", f"{topic}/0@11 does not exist yet: {topic}/0 ends before offset 11.\n"),
        (f"{topic}/1@0", f"{topic} has no partition 1; it has 1, from 0 on.\n"),
        (f"{verdicts}/1@{max(ends)}", f"{verdicts}/1@{max(ends)} is neither a verdict nor"),
    ):
        code, out, said = await command(judged, where)
        assert (code, out) == (1, "")
        assert said.startswith(f"guardstream: {sentence}")
        assert said.count("\n") == 1
    code, _, said = await command(judged, "7", "--since", "0s")
    assert code == 1
    assert " since the time given has this event id" in said


async def test_a_verdict_that_was_repeated_is_shown_with_its_repeats(judged, connection):
    # a group that has committed nothing, as after a crash before the commit
    await judge_all(judged, 11, group_id=f"again-{uuid.uuid4().hex[:8]}")
    (found,) = await findings(judged, f"{judged.input.topics[0]}/0@3")
    first, second = found["outcomes"]
    assert (first["repeats"], second["repeats"]) == (None, first["at"])
    assert second["verdict"]["verdict_id"] == first["verdict"]["verdict_id"]
    _, out, _ = await command(judged, "3")
    assert f"Verdict {second['at']}, a repeat of {first['at']}\n" in out


async def test_an_id_given_twice_is_two_findings(judged, connection):
    topic = judged.input.topics[0]
    await produce(connection, topic, [event(topic, "7")])
    await judge_all(judged, 1)
    found = await findings(judged, "7", count=2)
    assert [one["source"]["offset"] for one in found] == [7, 11]
    assert [len(one["outcomes"]) for one in found] == [1, 1]


async def test_the_engine_is_asked_anew_and_what_is_read_is_marked(judged):
    (found,) = await findings(judged, "7", "--again")
    again, verdict = found["again"], found["outcomes"][0]["verdict"]
    assert again["labels_agree"] is True
    assert again["verdict"]["verdict_id"] == verdict["verdict_id"]
    for mark in again["marks"]:
        if mark["kind"] == "label":
            label = verdict[mark["of"]]["label"]
            assert again["completion"][mark["start"] : mark["end"]] == label
    code, out, said = await command(judged, "7", "--again")
    assert (code, said) == (0, "")
    assert f"label      │ Request: «{verdict['prompt_harmfulness']['label']}»\n" in out
    assert f"agree with {found['outcomes'][0]['at']}\n" in out

    code, out, said = await command(judged, "bad", "--again", "--json")
    assert code == 1
    assert json.loads(out)["findings"][0]["again"]["error"] == "NotAnEvent"
    assert said == "guardstream: The engine gave no answer to some of it.\n"


async def test_a_record_that_retention_took_is_told_by_its_outcomes(judged, connection):
    topic = judged.input.topics[0]
    admin = AIOKafkaAdminClient(**connection.arguments())
    await admin.start()
    await produce(connection, topic, [event(topic, "unjudged"), event(topic, "last")])
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=12)})
    await admin.close()
    (found,) = await findings(judged, f"{topic}/0@7")
    assert (found["record"], found["event"]) == (None, None)
    assert found["missing"] == f"{topic}/0@7 is gone: {topic}/0 begins at offset 12."
    assert [one["kind"] for one in found["outcomes"]] == ["verdict"]
    assert await findings(judged, "7") == [found]
    code, out, said = await command(judged, f"{topic}/0@11")
    assert (code, out) == (1, "")
    assert said.startswith(
        f"guardstream: {topic}/0@11 is gone: {topic}/0 begins at offset 12. There is"
    )


async def test_what_its_dead_letter_kept_is_shown_of_a_record_that_is_gone(
    kafka_settings, connection
):
    settings = await kafka_settings()
    topic, dead = settings.input.topics[0], settings.output.dead_letter_topic
    where = Partition(topic, 0)
    mine = Record(where, 0, 0, b"k", event(topic, "mine").value, (), 0, 0.0)
    refused = InvalidRequest("The engine refuses this prompt.")
    letter = dead_letter(mine, refused, topic=dead, group="g", max_bytes=1 << 20)
    await produce(connection, dead, [letter])
    await produce(connection, topic, [event(topic, "mine"), event(topic, "last")])
    admin = AIOKafkaAdminClient(**connection.arguments())
    await admin.start()
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=1)})
    await admin.close()
    (found,) = await findings(settings, "mine", "--again")
    assert found["record"] is None
    assert found["event"]["id"] == "mine"
    assert found["again"]["labels_agree"] is None


async def test_records_without_an_outcome_say_why(judged, connection):
    topic = judged.input.topics[0]
    await produce(connection, topic, [event(topic, "new"), OutgoingRecord(topic, b"k", None, ())])
    code, out, _ = await command(judged, f"{topic}/0@11")
    assert code == 0
    assert "No outcome yet." in out
    assert f"no; {judged.input.group_id} resumes at offset 11\n" in out
    code, out, _ = await command(judged, f"{topic}/0@12")
    assert code == 0
    assert "A tombstone" in out
    producer = AIOKafkaProducer(**connection.arguments(), transactional_id=uuid.uuid4().hex)
    await producer.start()
    async with producer.transaction():
        await producer.send(topic, b"{}")
    await producer.stop()
    code, _, said = await command(judged, f"{topic}/0@14")
    assert code == 1
    assert f"{topic}/0@14 has no record" in said


async def test_an_outcome_older_than_its_record_is_found_once_it_must_be_there(
    kafka_settings, connection
):
    settings = await kafka_settings()
    topic, dead = settings.input.topics[0], settings.output.dead_letter_topic
    await produce(connection, topic, [event(topic, "mine")])
    mine = Record(Partition(topic, 0), 0, 0, b"k", event(topic, "mine").value, (), 0, 0.0)
    refused = InvalidRequest("The engine refuses this prompt.")
    letter = dead_letter(mine, refused, topic=dead, group="g", max_bytes=1 << 20)
    hour_ago = int(time.time() - 3600) * 1000
    await send(connection, dead, letter.value, headers=list(letter.headers), timestamp_ms=hour_ago)
    place = f"{topic}/0@0"

    async def commit(offset):
        # by itself it would commit where it stands when it stops
        consumer = AIOKafkaConsumer(
            **connection.arguments(), group_id=settings.input.group_id, enable_auto_commit=False
        )
        await consumer.start()
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.commit({TopicPartition(topic, 0): offset})
        await consumer.stop()

    await commit(0)
    assert (await findings(settings, place))[0]["outcomes"] == []
    assert len((await findings(settings, place, "--since", "2h"))[0]["outcomes"]) == 1
    await commit(1)
    assert len((await findings(settings, place))[0]["outcomes"]) == 1
    assert (await findings(settings, place, "--since", "30m"))[0]["outcomes"] == []
