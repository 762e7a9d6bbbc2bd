"""What the topics hold when all is over, read with read_committed."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import TypeAdapter

from tests.chaos.exchanges import conversation, prompt_tokens
from tests.chaos.feed import KIND, NUMBER
from tests.chaos.oracle import Found, Given
from tests.chaos.policies import FoundDecision, found_decision
from tests.chaos.staged import heading_tokens
from worker.adapters.kafka import reader
from worker.adapters.kafka.connection import Connection
from worker.adapters.kafka.reader import committed_offsets, held_offsets
from worker.domain.dead_letters import ERROR, ORIGIN_OFFSET, ORIGIN_PARTITION
from worker.domain.decisions import Decision
from worker.domain.errors import BusUnavailable
from worker.domain.exchange_numbers import EXCHANGES, read_ranges
from worker.domain.records import Record
from worker.domain.verdict_records import action_of

_DECISION = TypeAdapter(Decision)
_POLL_SECONDS = 1.0
# of a record
_MOST_EXCHANGES = 100


async def given(connection: Connection, topic: str, *, every: bool = False) -> list[Given]:
    """All that the workers had to judge, and how large the prompt for each must be.

    Args:
        connection: to the brokers.
        topic: the input.
        every: whether the workers judge every exchange of a conversation.
    """
    records = [
        Given(
            record.partition.number,
            record.offset,
            (headers := dict(record.headers))[KIND].decode(),
            int(headers[NUMBER]),
            record.timestamp_ms / 1000,
        )
        async for record in _records(connection, topic)
    ]
    if every:
        records = [one for record in records for one in _every_exchange(record)]
    known = {}
    for at, record in enumerate(records):
        if (whole := conversation(record.kind, record.number)) is not None:
            exchanges = [*whole.earlier, (whole.prompt, whole.response)]
            known[at] = exchanges[-1 if record.exchange is None else record.exchange]
    counts = await prompt_tokens(list(known.values()))
    for at, count in zip(known, counts, strict=True):
        records[at] = replace(records[at], prompt_tokens=count)
    return records


def _every_exchange(record: Given) -> list[Given]:
    """The record, once for each exchange that it holds; as a whole where it holds none."""
    if record.kind in ("malformed", "tombstone"):
        return [record]
    whole = conversation(record.kind, record.number)
    count = 1 if whole is None else len(whole.earlier) + 1
    return [replace(record, exchange=number) for number in range(count)]


async def verdicts(connection: Connection, topic: str) -> list[Found]:
    """All verdicts, by the source that they name."""
    found, heading = [], heading_tokens()
    async for record in _records(connection, topic):
        verdict = orjson.loads(record.value)
        source = verdict["source"]
        one = _found(record, source["partition"], source["offset"], "", verdict["verdict_id"])
        usage = verdict["usage"]
        tokens = usage["prompt_tokens"] - (0 if verdict["reasoned"] else heading)
        # several requests have several prompts
        tokens = tokens if usage["requests"] == 1 else None
        found.append(replace(one, prompt_tokens=tokens, exchange=source["exchange"]))
    return found


async def decisions(connection: Connection, topic: str) -> list[FoundDecision]:
    """All decisions."""
    return [
        found_decision(
            _DECISION.validate_json(record.value or b""),
            action_of(record.headers) or "",
            (record.partition.topic, record.partition.number),
            record.offset,
            record.timestamp_ms / 1000,
        )
        async for record in _records(connection, topic)
    ]


async def dead_letters(connection: Connection, topic: str) -> list[Found]:
    """All dead letters, by the source that their headers name."""
    found = []
    async for record in _records(connection, topic):
        headers = dict(record.headers)
        partition, offset = int(headers[ORIGIN_PARTITION]), int(headers[ORIGIN_OFFSET])
        one = _found(record, partition, offset, headers[ERROR].decode(), "")
        found += [replace(one, exchange=number) for number in _numbers(headers.get(EXCHANGES))]
    return found


def _numbers(header: bytes | None) -> Sequence[int | None]:
    ranges = read_ranges(header)
    return [None] if ranges is None else [n for n in range(_MOST_EXCHANGES) if n in ranges]


async def settled(
    connection: Connection, topic: str, group_id: str, *, seconds: float
) -> dict[int, int]:
    """Wait until the group has committed all there is; the lag by partition where it has not."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            offsets = await committed_offsets(connection, topic, group_id)
        except (BusUnavailable, KafkaError):
            offsets = None
        if offsets is not None:
            lag = {p.number: end - (done or 0) for p, done, end in offsets if end != (done or 0)}
            if not lag or time.monotonic() > deadline:
                return lag
        elif time.monotonic() > deadline:
            return {-1: -1}
        await asyncio.sleep(_POLL_SECONDS)


async def first_commit(
    connection: Connection, topic: str, group_id: str, *, seconds: float
) -> None:
    """Wait until the group has committed something of every partition.

    Raises:
        TimeoutError: it has not.
    """
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(BusUnavailable, KafkaError):
                offsets = await committed_offsets(connection, topic, group_id)
                if all(done for _, done, _ in offsets):
                    return
            await asyncio.sleep(_POLL_SECONDS)


async def open_transactions(connection: Connection, topic: str, *, seconds: float) -> list[int]:
    """Wait until no transaction is open; the partitions where one still is.

    Behind an open one, readers of committed records see nothing: it would look like a loss.
    """
    deadline = time.monotonic() + seconds
    while True:
        stable = await _ends(connection, topic, "read_committed")
        all_of_it = await _ends(connection, topic, "read_uncommitted")
        left = [p.partition for p, end in all_of_it.items() if stable[p] < end]
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(_POLL_SECONDS)


async def _ends(connection: Connection, topic: str, isolation: str) -> dict[TopicPartition, int]:
    consumer = AIOKafkaConsumer(**connection.arguments(), isolation_level=isolation)
    async with asyncio.timeout(15):
        await consumer.start()
    try:
        numbers = range(len(await held_offsets(connection, topic)))
        return await consumer.end_offsets([TopicPartition(topic, n) for n in numbers])
    finally:
        async with asyncio.timeout(15):
            await consumer.stop()


async def _records(connection: Connection, topic: str):
    ranges = await held_offsets(connection, topic)
    async for record in reader.read_ranges(connection, ranges):
        yield record


def _found(record: Record, partition: int, offset: int, error: str, verdict_id: str) -> Found:
    where = record.partition
    return Found(
        partition,
        offset,
        error,
        verdict_id,
        (where.topic, where.number),
        record.offset,
        record.timestamp_ms / 1000,
        # the last one, since a dead letter keeps the headers of its record
        action=action_of(record.headers),
    )
