"""Consumers that no record can stop, and that can be stopped without brokers."""

import asyncio
import logging
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import consumer as consumers
from aiokafka.consumer import fetcher

from worker.adapters.kafka.lenient_records import LenientRecords
from worker.adapters.kafka.membership import Member

logger = logging.getLogger(__name__)

_STOP_SECONDS = 10.0


def build_consumer(**arguments: Any) -> AIOKafkaConsumer:
    """A consumer that reads on past records that it cannot read, and whose instance id is its own.

    See `lenient_records` and `membership`.
    """
    # aiokafka's only seams: it looks these classes up in its modules
    fetcher.MemoryRecords = LenientRecords
    consumers.GroupCoordinator = Member
    return AIOKafkaConsumer(**arguments)


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Leave the group and disconnect, within a bounded time.

    aiokafka's own stop can hang, or raise CancelledError, when brokers or topics are gone.
    """
    stopping = asyncio.ensure_future(consumer.stop())
    await asyncio.wait([stopping], timeout=_STOP_SECONDS)
    if not stopping.done():
        stopping.cancel()
    failure = (await asyncio.gather(stopping, return_exceptions=True))[0]
    if failure is not None:
        logger.warning("Closing a consumer failed (%s).", type(failure).__name__)
        # else its heartbeats would continue, and its group wait for it
        async with asyncio.timeout(_STOP_SECONDS):
            await consumer._client.close()  # noqa: SLF001
