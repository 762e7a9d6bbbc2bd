"""The Kafka source against a client that is no client: what only timing brings about."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from worker.adapters.kafka.connection import Connection
from worker.adapters.kafka.source import KafkaSource
from worker.domain.errors import BusUnavailable, Retriable
from worker.domain.records import CommittedOffset, Partition

PARTITION = Partition("events", 0)


class OneAnswer:
    """A consumer that answers once, when its future is set, and then never again."""

    def __init__(self):
        self.answer = asyncio.get_running_loop().create_future()

    async def commit(self, *_):
        await self._next()

    async def position(self, *_):
        await self._next()
        return 1

    async def _next(self):
        answer, self.answer = self.answer, asyncio.get_running_loop().create_future()
        await answer


@pytest.mark.parametrize("call", ["commit", "position"])
async def test_a_cancellation_that_comes_with_the_answer_is_not_swallowed(call):
    source = KafkaSource(Connection("nowhere:9092"), topics=["events"], group_id="g")
    source._consumer = consumer = OneAnswer()
    what = {PARTITION: CommittedOffset(1)} if call == "commit" else PARTITION

    async def settle_for_ever():
        while True:
            await getattr(source, call)(what)

    answer = consumer.answer
    settling = asyncio.create_task(settle_for_ever())
    while consumer.answer is answer:
        await asyncio.sleep(0)
    answer.set_result(None)
    await asyncio.sleep(0)
    settling.cancel()
    await asyncio.wait([settling], timeout=1)
    ended = settling.done()
    settling.cancel()
    assert ended, "as with asyncio.wait_for before Python 3.12"


class Refusing:
    """A consumer whose commits fail while `refuses` is set."""

    def __init__(self):
        self.refuses = True

    async def commit(self, _):
        if self.refuses:
            raise KafkaConnectionError


async def test_commits_that_keep_failing_are_reported_until_one_succeeds():
    source = KafkaSource(Connection("nowhere:9092"), topics=["events"], group_id="g")
    source._consumer = consumer = Refusing()
    for failures in range(1, 4):
        assert source.trouble() is None
        with pytest.raises(Retriable):
            await source.commit({PARTITION: CommittedOffset(failures)})
    assert "group g could not be committed 3 times in a row (KafkaConnectionError)" in (
        source.trouble()
    )
    consumer.refuses = False
    await source.commit({PARTITION: CommittedOffset(4)})
    assert source.trouble() is None


async def fail():
    raise ValueError("an assignment that cannot be read")


async def test_a_membership_that_ended_by_a_defect_ends_the_worker():
    source = KafkaSource(Connection("nowhere:9092"), topics=["events"], group_id="g")
    task = asyncio.ensure_future(fail())
    await asyncio.wait([task])
    source._consumer = SimpleNamespace(_coordinator=SimpleNamespace(_coordination_task=task))
    with pytest.raises(BusUnavailable, match="membership in group g ended by ValueError"):
        await source.receive()


class Listening:
    def __init__(self):
        self.heard = []

    async def lost(self, partitions):
        self.heard.append(("lost", list(partitions)))

    async def assigned(self, partitions):
        self.heard.append(("assigned", list(partitions)))


async def test_offsets_that_are_lost_of_a_revoked_partition_are_not_ours_to_mind():
    source = KafkaSource(Connection("nowhere:9092"), topics=["events"], group_id="g")
    source._consumer = SimpleNamespace(assignment=set, pause=lambda *_: None)
    source._listener = listener = Listening()
    await source._offsets_lost([PARTITION])  # on_offset_lost is unset, and no reason to end
    assert listener.heard == []
    held = {TopicPartition(*PARTITION)}
    source = KafkaSource(
        Connection("nowhere:9092"), topics=["events"], group_id="g", on_offset_lost="earliest"
    )
    source._consumer = SimpleNamespace(assignment=lambda: held, pause=lambda *_: None)
    source._listener = listener

    async def lose(partitions):
        await Listening.lost(listener, partitions)
        held.clear()  # revoked meanwhile

    listener.lost = lose
    await source._offsets_lost([PARTITION])
    assert listener.heard == [("lost", [PARTITION]), ("assigned", [])]
