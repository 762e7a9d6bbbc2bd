"""The floor: a bare aiokafka loop that takes records, works, sends, awaits, commits.

No queue, no overlap, no retry: whatever fails ends it. With `exactly_once` one transactional
producer commits outputs and offsets together, which is right for a single member only: the client
commits offsets without a generation, so nothing fences a former owner of a partition.
`--copy` moves the bytes as they are, without the work: what Kafka's client alone costs.
"""

import argparse
import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.contenders.contract import Order, read_order
from benchmarks.contenders.work import Work, record_of
from worker.domain.records import OutgoingRecord

_MOST_RECORDS = 500

Turn = Callable[[Sequence[Any]], list[OutgoingRecord]]


async def run(order: Order, turn: Turn) -> None:
    """Move records until SIGTERM; `turn` makes outputs of what the consumer gave."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    consumer = AIOKafkaConsumer(
        order.input,
        bootstrap_servers=order.bootstrap_servers,
        group_id=order.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=256 * 1024,
    )
    exactly_once = order.guarantee == "exactly_once"
    producer = AIOKafkaProducer(
        bootstrap_servers=order.bootstrap_servers,
        enable_idempotence=True,
        max_batch_size=256 * 1024,
        transactional_id=order.group if exactly_once else None,
    )
    await producer.start()
    await consumer.start()
    try:
        while not stopping.is_set():
            batches = await consumer.getmany(timeout_ms=200, max_records=_MOST_RECORDS)
            if not batches:
                continue
            outgoing = turn(list(chain.from_iterable(batches.values())))
            offsets = {where: records[-1].offset + 1 for where, records in batches.items()}
            if exactly_once:
                await _commit_together(producer, outgoing, offsets, order.group)
            else:
                await _send(producer, outgoing)
                await consumer.commit(offsets)
    finally:
        await consumer.stop()
        await producer.stop()


async def _commit_together(
    producer: AIOKafkaProducer,
    outgoing: Sequence[OutgoingRecord],
    offsets: dict[TopicPartition, int],
    group: str,
) -> None:
    async with producer.transaction():
        await _send(producer, outgoing)
        await producer.send_offsets_to_transaction(offsets, group)


async def _send(producer: AIOKafkaProducer, outgoing: Sequence[OutgoingRecord]) -> None:
    acknowledged = [
        await producer.send(o.topic, key=o.key, value=o.value, headers=list(o.headers))
        for o in outgoing
    ]
    await asyncio.gather(*acknowledged)


def _working(order: Order) -> Turn:
    work = Work(output=order.output, dead=order.dead, group=order.group)

    def turn(records: Sequence[Any]) -> list[OutgoingRecord]:
        received_at = time.time()
        return work.outcomes([record_of(r, received_at) for r in records])

    return turn


def _copying(order: Order) -> Turn:
    def turn(records: Sequence[Any]) -> list[OutgoingRecord]:
        return [OutgoingRecord(order.output, r.key, r.value, tuple(r.headers)) for r in records]

    return turn


def main() -> None:
    """Run by the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--copy", action="store_true", help="move bytes, without the work")
    order, said = read_order(parser)
    asyncio.run(run(order, _copying(order) if said.copy else _working(order)))


if __name__ == "__main__":
    main()
