"""Judging without a bus, for commands: what comes in, comes out judged."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from worker.decoding.decoder import Refused
from worker.domain.errors import RecordError
from worker.domain.events import Skip
from worker.domain.records import Record
from worker.flow.asking import Answer
from worker.flow.judge import Judge, Preparation, PreparedRecord

# tokenised together, as the worker's micro-batches are
CHUNK_RECORDS = 64


class Asked(NamedTuple):
    """An exchange that the guard has judged."""

    prepared: PreparedRecord
    answer: Answer


@dataclass(frozen=True, slots=True)
class Judged:
    """An exchange that `judge_all` is done with.

    Attributes:
        number: which exchange of its record; None where a record holds only one.
        result: or why there is none.
    """

    record: Record
    number: int | None
    result: Asked | RecordError | Skip


async def judge_all(
    judge: Judge, chunks: AsyncIterator[Sequence[Record]], limit: int
) -> AsyncGenerator[list[Judged], None]:
    """Judge records, at most `limit` at a time; each with its exchanges, as they are done.

    The records of a chunk are tokenised together.

    Raises:
        Fatal: no record can be judged.
    """
    running: set[asyncio.Task[list[Judged]]] = set()
    done = deque[asyncio.Task[list[Judged]]]()
    slots, something = asyncio.Semaphore(limit), asyncio.Event()

    def end(task: asyncio.Task[list[Judged]]) -> None:
        running.discard(task)
        done.append(task)
        slots.release()
        something.set()

    async def feed() -> None:
        async for records in chunks:
            for preparation in await judge.prepare(records):
                await slots.acquire()
                task = asyncio.create_task(_judge_prepared(judge, preparation))
                running.add(task)
                task.add_done_callback(end)

    feeding = asyncio.create_task(feed())
    feeding.add_done_callback(lambda _: something.set())
    try:
        while running or done or not feeding.done():
            await something.wait()
            something.clear()
            while done:
                yield done.popleft().result()
            if feeding.done():
                feeding.result()
    finally:
        left = [feeding, *running, *done]
        for one in left:
            one.cancel()
        # of several that failed at once one is raised, and the others are retrieved here
        await asyncio.gather(*left, return_exceptions=True)


async def judge_record(judge: Judge, record: Record) -> list[Judged]:
    """Judge the exchanges of a record side by side; they come in the order of the record.

    Raises:
        Fatal: no record can be judged.
    """
    (preparation,) = await judge.prepare([record])
    return await _judge_prepared(judge, preparation)


async def _judge_prepared(judge: Judge, preparation: Preparation) -> list[Judged]:
    record, exchanges = preparation.record, preparation.exchanges
    skipped = [Judged(record, None, reason) for reason in preparation.skipped]
    if len(exchanges) == 1:
        return [await _judge_one(judge, record, exchanges[0]), *skipped]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_judge_one(judge, record, one)) for one in exchanges]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [*(task.result() for task in tasks), *skipped]


async def _judge_one(judge: Judge, record: Record, one: PreparedRecord | Refused) -> Judged:
    if isinstance(one, Refused):
        return Judged(record, one.number, one.error)
    try:
        return Judged(record, one.number, Asked(one, await judge.ask(one)))
    except RecordError as error:
        return Judged(record, one.number, error)
