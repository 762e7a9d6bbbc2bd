"""Receiving from a consumer one of whose partitions cannot be read."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError, OffsetOutOfRangeError

from worker.adapters.kafka import receiving
from worker.adapters.kafka.receiving import Receiver

SICK, WELL = TopicPartition("events", 0), TopicPartition("events", 1)


class Time:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds


class Record:
    def __init__(self, offset):
        self.offset = offset


class Consumer:
    """aiokafka's, as far as it is polled: what one partition raises drops what others gave."""

    def __init__(self, **logs):
        self.logs = {SICK: logs["sick"], WELL: logs["well"]}
        self.positions = dict.fromkeys(self.logs, 0)
        self._coordinator = self
        self._subscription = self
        self.reassignment_in_progress = False
        self.coordination_error = None

    def assignment(self):
        return set(self.logs)

    def paused(self):
        return set()

    def check_errors(self):
        if self.coordination_error is not None:
            raise self.coordination_error

    async def getmany(self, *partitions, timeout_ms=0, max_records=None):  # noqa: ARG002
        self.check_errors()
        # the worst order: what the sick one raises comes last
        wanted = [p for p in (WELL, SICK) if p in (partitions or self.logs)]
        return {p: found for p in wanted if (found := self._drain(p, max_records))}

    def _drain(self, partition, most):
        found = []
        for entry in self.logs[partition][self.positions[partition] :]:
            if isinstance(entry, BaseException):
                raise entry
            found.append(entry)
            if len(found) == most:
                break
        self.positions[partition] += len(found)
        return found

    def take_back(self):
        self.positions.update(dict.fromkeys(self.logs, 0))


def records(count):
    return [Record(n) for n in range(count)]


@pytest.fixture
def clock(monkeypatch):
    clock = Time()
    monkeypatch.setattr(receiving.asyncio, "sleep", clock.sleep)
    return clock


async def poll_for(seconds, receiver, consumer, clock):
    found = {SICK: [], WELL: []}
    until = clock.now + seconds
    while clock.now < until:
        for partition, batch in (await receiver.poll(consumer)).items():
            found[partition] += [record.offset for record in batch]
        clock.now += 0.01
    return found


@pytest.mark.parametrize("error", [CorruptRecordException("x"), ValueError("text of an event")])
async def test_a_partition_that_cannot_be_read_holds_up_only_itself(clock, caplog, error):
    consumer = Consumer(sick=[*records(3), error, Record(4)], well=records(5))
    receiver = Receiver(consumer.take_back, monotonic=clock)
    found = await poll_for(20, receiver, consumer, clock)
    assert found == {SICK: [0, 1, 2], WELL: [0, 1, 2, 3, 4]}
    trouble = receiver.trouble()
    assert "events/0" in trouble
    assert type(error).__name__ in trouble
    assert "events/0" in caplog.text
    assert "10 times" in caplog.text
    assert "text of an event" not in caplog.text + trouble


async def test_it_is_not_asked_more_than_once_a_second(clock):
    consumer = Consumer(sick=[KafkaError("x")], well=[])
    receiver = Receiver(consumer.take_back, monotonic=clock)
    await poll_for(30, receiver, consumer, clock)
    assert 20 <= receiver._failures[SICK].times <= 31


async def test_what_was_repaired_is_read_and_reported_no_more(clock):
    consumer = Consumer(sick=[Record(0), KafkaError("x"), Record(2)], well=[])
    receiver = Receiver(consumer.take_back, monotonic=clock)
    await poll_for(20, receiver, consumer, clock)
    assert receiver.trouble()
    consumer.logs[SICK][1] = Record(1)
    found = await poll_for(2, receiver, consumer, clock)
    assert found[SICK] == [1, 2]
    assert receiver.trouble() is None


async def test_a_passing_failure_is_no_trouble(clock):
    consumer = Consumer(sick=[KafkaError("x")], well=[])
    receiver = Receiver(consumer.take_back, monotonic=clock)
    await poll_for(2, receiver, consumer, clock)
    consumer.logs[SICK] = []
    await poll_for(30, receiver, consumer, clock)
    assert receiver.trouble() is None
    assert not receiver._failures


async def test_what_fails_without_a_partition_is_reported_too(clock):
    consumer = Consumer(sick=[], well=records(2))
    consumer.coordination_error = KafkaError("x")
    receiver = Receiver(consumer.take_back, monotonic=clock)
    await poll_for(30, receiver, consumer, clock)
    assert receiver.trouble().startswith("Receiving from Kafka has failed")
    consumer.coordination_error = None
    assert (await poll_for(20, receiver, consumer, clock))[WELL] == [0, 1]
    assert receiver.trouble() is None


async def test_an_offset_that_is_gone_is_passed_on_and_costs_no_record(clock):
    consumer = Consumer(sick=[KafkaError("x")], well=records(2))
    receiver = Receiver(consumer.take_back, monotonic=clock)
    await receiver.poll(consumer)  # from now on each by itself
    consumer.logs[SICK] = [*records(2), OffsetOutOfRangeError({SICK: 2})]
    found, gone = [], 0
    for _ in range(10):
        try:
            found += (await receiver.poll(consumer)).get(WELL, [])
        except OffsetOutOfRangeError:
            gone += 1
            consumer.logs[SICK] = []
            consumer.positions[SICK] = 0
        clock.now += 0.1
    assert gone == 1
    assert [record.offset for record in found] == [0, 1]


async def test_nothing_is_polled_while_partitions_move(clock):
    consumer = Consumer(sick=[KafkaError("x")], well=records(2))
    receiver = Receiver(consumer.take_back, monotonic=clock)
    await receiver.poll(consumer)
    consumer.reassignment_in_progress = True
    assert await receiver.poll(consumer) == {}
    assert consumer.positions[WELL] == 0


async def test_a_cancellation_passes(clock):
    consumer = Consumer(sick=[asyncio.CancelledError()], well=[])
    with pytest.raises(asyncio.CancelledError):
        await Receiver(consumer.take_back, monotonic=clock).poll(consumer)
