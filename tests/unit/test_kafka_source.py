"""The Kafka source against a client that is no client: what only timing brings about."""

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError

from worker.adapters.kafka.connection import Connection
from worker.adapters.kafka.source import KafkaSource
from worker.errors import Retriable
from worker.records import CommittedOffset, Partition

PARTITION = Partition("events", 0)


class OneAnswer:
    """A consumer that answers once, when told to, and then never again."""

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
    """A consumer whose commits fail until it is told otherwise."""

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
