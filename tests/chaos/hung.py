"""A transactional producer on the input that begins a transaction and then does nothing."""

import asyncio
import contextlib
import uuid

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.chaos.feed import KIND, NUMBER, Feed, value_of
from worker.adapters.kafka.connection import Connection
from worker.adapters.kafka.publisher import close

COMMITTED, ABORTED = "in a transaction", "in an aborted transaction"
_ENDS = ("commits", "aborts", "is timed out")
_ASK_SECONDS = 15.0
# an end that fails is the broker's to make, soon enough for the round
_SPARE_SECONDS = 10.0
# the broker looks for transactions to abort once a second, and writes the markers then
_MARKERS_SECONDS = 3.0


async def hang(
    connection: Connection, topic: str, feed: Feed, *, seconds: float, draw: float
) -> str | None:
    """Write a record or two in a transaction, hang, and end it in one of three ways by the draw.

    Returns:
        How it ended; None where the brokers could not begin it.
    """
    end = _ENDS[int(draw * len(_ENDS))]
    kind = COMMITTED if end == "commits" else ABORTED
    allowed = seconds + (0.0 if end == "is timed out" else _SPARE_SECONDS)
    producer = AIOKafkaProducer(
        **connection.arguments(),
        transactional_id=f"hung-{uuid.uuid4().hex[:8]}",
        transaction_timeout_ms=int(allowed * 1000),
    )
    written = {}
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            await producer.start()
            await producer.begin_transaction()
            partitions = sorted(await producer.partitions_for(topic))
            first = int(draw * 1000) % len(partitions)
            for partition in {first, (first + 1) % len(partitions)}:
                number = feed.take_number()
                done = await producer.send_and_wait(
                    topic,
                    value=value_of(kind, number, feed.chance),
                    partition=partition,
                    headers=[(KIND, kind.encode()), (NUMBER, str(number).encode())],
                )
                written[done.partition, done.offset] = number
        await asyncio.sleep(seconds)
        async with asyncio.timeout(_ASK_SECONDS):
            if end == "commits":
                await producer.commit_transaction()
                feed.acknowledged |= written
            elif end == "aborts":
                await producer.abort_transaction()
            else:
                # gone without a word: the client's own end would abort
                await producer.client.close()
                await asyncio.sleep(_MARKERS_SECONDS)
    except (KafkaError, OSError, TimeoutError):
        # whether it ended as it should is then the brokers' to say, and the topic tells
        return None if not written else f"{end}, or the brokers end it"
    finally:
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            await close(producer)
    return end
