"""Records that aiokafka's reader chokes on: each has its outcome, and so have its neighbours."""

import asyncio

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from worker.adapters.kafka import consumer, lenient_records, receiving, unpacking
from worker.adapters.kafka.reader import committed_offsets, read_topics
from worker.runtime.worker import Worker

pytestmark = pytest.mark.integration

both_guarantees = pytest.mark.parametrize(
    "kafka_settings", ["at_least_once", "exactly_once"], indirect=True
)


class Name(str):
    """A header's name that is written as other bytes."""

    __slots__ = ()

    def encode(self, *_):
        return b"na\xffme"


def value(name):
    return orjson.dumps({"id": name, "prompt": f"How do I bake bread number {name}?"})


async def produce(connection, topic, batches, monkeypatch, **options):
    """One batch after the other; a record is its name, its headers and its partition."""
    # aiokafka's builder in Python asks a name for its bytes
    for module in ("producer", "message_accumulator"):
        monkeypatch.setattr(
            f"aiokafka.producer.{module}.DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy
        )
    async with AIOKafkaProducer(**connection.arguments(), linger_ms=50, **options) as producer:
        for batch in batches:
            sent = [
                await producer.send(
                    topic, key=name.encode(), value=value(name), headers=headers, partition=where
                )
                for name, headers, where in batch
            ]
            await asyncio.gather(*sent)


async def outcomes(connection, settings, events, letters):
    """Let a worker finish; the ids of the verdicts, and the dead letters."""
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(60):
        while sum(worker.outcomes.values()) < events + letters:
            await asyncio.sleep(0.05)
            if running.done():
                break
    worker.stop()
    await running
    topics = [settings.output.verdict_topic, settings.output.dead_letter_topic]
    reader = read_topics(connection, topics, from_beginning=True)
    async with asyncio.timeout(120):
        found = [await anext(reader) for _ in range(events + letters)]
    await reader.aclose()
    for where, committed, end in await committed_offsets(
        connection, settings.input.topics[0], settings.input.group_id
    ):
        assert committed == end, where
    return (
        sorted(orjson.loads(r.value)["event_id"] for r in found if r.partition.topic == topics[0]),
        [r for r in found if r.partition.topic == topics[1]],
    )


@both_guarantees
@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_a_header_name_that_is_not_utf8(kafka_settings, connection, monkeypatch, codec):
    settings = await kafka_settings(partitions=2)
    bad = [(Name("bad"), b"1"), ("fine", b"2")]
    batches = [
        # amid its batch, and first in one
        [("a", [], 0), ("poison-1", bad, 0), ("b", [("x", b"y")], 0), ("c", [], 1)],
        [("poison-2", bad, 0), ("poison-3", bad, 0), ("d", [], 0), ("e", [], 1)],
        [("f", [], 0), ("g", [], 1)],
    ]
    topic = settings.input.topics[0]
    await produce(connection, topic, batches, monkeypatch, compression_type=codec)
    judged, letters = await outcomes(connection, settings, 7, 3)
    assert judged == list("abcdefg")
    assert sorted(r.key for r in letters) == [b"poison-1", b"poison-2", b"poison-3"]
    letter = min(letters, key=lambda r: r.key)
    headers = dict(letter.headers)
    assert letter.value == value("poison-1")
    assert headers["na\\xffme"] == b"1"
    assert headers["fine"] == b"2"
    assert headers["guardstream.error"] == b"NotAnEvent"
    assert b"not UTF-8" in headers["__dlq.errors.message"]
    assert headers["__dlq.errors.offset"] == b"1"


@both_guarantees
async def test_a_batch_that_is_damaged(kafka_settings, connection, monkeypatch):
    settings = await kafka_settings()
    batches = [[("a", [], 0)], [("kept", [], 0), ("lost", [], 0)], [("b", [], 0)]]

    # no broker takes such a batch, so the damage is done behind it
    class Damaged(lenient_records.LenientRecords):
        def next_batch(self):
            batch = super().next_batch()
            if b'"id":"kept"' in bytes(getattr(batch, "_raw", b"")):
                batch._raw = batch._raw[:-20]
            return batch

    monkeypatch.setattr(consumer, "LenientRecords", Damaged)
    await produce(connection, settings.input.topics[0], batches, monkeypatch)
    judged, letters = await outcomes(connection, settings, 3, 1)
    # what stands before the damage is read
    assert judged == ["a", "b", "kept"]
    (letter,) = letters
    assert (letter.key, letter.value) == (None, b"")
    headers = dict(letter.headers)
    assert headers["guardstream.error"] == b"NotAnEvent"
    assert headers["__dlq.errors.offset"] == b"2"


@both_guarantees
async def test_a_batch_that_would_unpack_too_far(kafka_settings, connection, monkeypatch):
    monkeypatch.setattr(unpacking, "MAX_BYTES", 1 << 20)
    settings = await kafka_settings()
    topic = settings.input.topics[0]
    async with AIOKafkaProducer(
        **connection.arguments(), compression_type="zstd", max_request_size=4 << 20
    ) as producer:
        for name in ("a", "bomb", "b"):
            filled = b"\0" * (2 << 20) if name == "bomb" else value(name)
            await producer.send_and_wait(topic, key=name.encode(), value=filled)
    judged, (letter,) = await outcomes(connection, settings, 2, 1)
    assert judged == ["a", "b"]
    assert (letter.key, letter.value) == (None, b"")
    assert b"batch unpacks to more than" in dict(letter.headers)["__dlq.errors.message"]


async def test_damage_on_the_way_costs_no_other_partition_its_records(
    kafka_settings, connection, monkeypatch
):
    settings = await kafka_settings(partitions=2)
    batches = [[(f"{n}-{p}", [], p) for p in (0, 1)] for n in range(10)]
    await produce(connection, settings.input.topics[0], batches, monkeypatch)
    validated = []

    def validate_once(batch):
        validated.append(batch)
        return len(validated) != 12  # after one partition's batches were taken

    monkeypatch.setattr(lenient_records._LenientBatch, "validate_crc", validate_once, raising=False)
    judged, _ = await outcomes(connection, settings, 20, 0)
    assert judged == sorted(f"{n}-{p}" for n in range(10) for p in (0, 1))


async def test_damage_that_stays_holds_up_only_its_partition(
    kafka_settings, connection, monkeypatch, caplog
):
    settings = await kafka_settings(partitions=2)
    topic = settings.input.topics[0]
    batches = [[(f"{n}-{p}", [], p) for p in (0, 1)] for n in range(10)]
    await produce(connection, topic, batches, monkeypatch)

    def validate(batch):
        return b'"id":"5-0"' not in bytes(batch._raw)

    monkeypatch.setattr(lenient_records._LenientBatch, "validate_crc", validate, raising=False)
    monkeypatch.setattr(receiving, "_TROUBLE_SECONDS", 3.0)
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(120):
        # what stands before the damage is judged too
        while worker.outcomes["verdict"] < 15 or worker._pipeline.trouble() is None:
            assert not running.done()
            await asyncio.sleep(0.05)
    trouble = worker._pipeline.trouble()
    assert f"{topic}/0" in trouble
    assert "CorruptRecordException" in trouble
    assert f"Receiving from {topic}/0 failed" in caplog.text
    monkeypatch.setattr(lenient_records._LenientBatch, "validate_crc", lambda _: True)
    async with asyncio.timeout(60):
        while worker.outcomes["verdict"] < 20 or worker._pipeline.trouble():
            await asyncio.sleep(0.05)
    worker.stop()
    await running
    for where, committed, end in await committed_offsets(
        connection, topic, settings.input.group_id
    ):
        assert committed == end, where
