"""Judging without a bus, for commands: what comes in, comes out judged."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from worker.decoding.decoder import Refused
from worker.domain.errors import RecordError
from worker.domain.events import Skip
from worker.domain.records import Record
from worker.flow.asking import Answer
from worker.flow.judge import Judge, PreparedRecord


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
    judge: Judge, records: AsyncIterator[Record], limit: int
) -> AsyncGenerator[list[Judged], None]:
    """Judge records, at most `limit` at a time; each with its exchanges, as they are done.

    Raises:
        Fatal: no record can be judged.
    """
    running: set[asyncio.Future[Any]] = set()
    finished: set[asyncio.Future[Any]] = set()
    coming: asyncio.Future[Any] | None = None
    at_end = False
    try:
        while True:
            if coming is None and not at_end and len(running) < limit:
                coming = asyncio.ensure_future(anext(records, None))
            waiting = running | ({coming} if coming is not None else set())
            if not waiting:
                return
            finished, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for one in finished:
                result = one.result()
                if isinstance(result, list):
                    running.discard(one)
                    yield result
                elif result is None:
                    coming, at_end = None, True
                else:
                    coming = None
                    running.add(asyncio.ensure_future(judge_record(judge, result)))
    finally:
        left = [*running, *finished, *([coming] if coming is not None else [])]
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
    skipped = [Judged(record, None, reason) for reason in preparation.skipped]
    if len(preparation.exchanges) == 1:
        return [await _judge_one(judge, record, preparation.exchanges[0]), *skipped]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_judge_one(judge, record, one)) for one in preparation.exchanges]
    return [*(task.result() for task in tasks), *skipped]


async def _judge_one(judge: Judge, record: Record, one: PreparedRecord | Refused) -> Judged:
    if isinstance(one, Refused):
        return Judged(record, one.number, one.error)
    try:
        return Judged(record, one.number, Asked(one, await judge.ask(one)))
    except RecordError as error:
        return Judged(record, one.number, error)
