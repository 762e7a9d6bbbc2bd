"""Judges the records of a source, in their order, and stores how far it is."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing

import orjson

from worker.domain.errors import RecordError
from worker.domain.events import Skip
from worker.domain.verdicts import encode_verdict
from worker.flow.judge import Judge
from worker.flow.judging_all import Judged, judge_all
from worker.operator.offline.inputs import START, Chunk, Place, Source
from worker.operator.offline.ordering import Done, InOrder
from worker.operator.offline.outputs import Counts, Output

# so that a record that takes as long as this many others does not stop the engine
_AHEAD = 16
_CHECKPOINT_SECONDS = 1.0


async def judge_in_order(
    judge: Judge, source: Source, limit: int, start: Place = START
) -> AsyncGenerator[Done, None]:
    """The records from a place on with what was judged, in their order.

    Raises:
        Fatal: no record can be judged.
        UnusableFile: the source cannot be read.
    """
    order = InOrder(_AHEAD * limit)
    records = order.begun(_in_thread(source.chunks(start)))
    async with aclosing(judge_all(judge, records, limit)) as judged:
        async for exchanges in judged:
            for done in order.done(exchanges):
                yield done


async def _in_thread(chunks: Iterator[Chunk]) -> AsyncIterator[Chunk]:
    # waiting for input must not block the event loop
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk


async def judge_file(
    judge: Judge,
    source: Source,
    output: Output,
    *,
    limit: int,
    monotonic: Callable[[], float],
    report: Callable[[Place, Counts], None],
) -> Counts:
    """Judge what earlier runs left; each row is written once, as verdicts or refusals.

    Raises:
        Fatal: no record can be judged.
        UnusableFile: the input cannot be read, or the output cannot be written.
    """
    place, before = output.progress.place, output.progress.counts
    counts = Counter(judged=before.judged, refused=before.refused, skipped=before.skipped)
    stored_at = monotonic()
    async with aclosing(judge_in_order(judge, source, limit, place)) as judged:
        async for exchanges, after in judged:
            for one in exchanges:
                counts[_write(judge, one, output)] += 1
            place = after
            report(place, Counts(**counts))
            if monotonic() - stored_at >= _CHECKPOINT_SECONDS:
                # a slow disk must not block the event loop
                await asyncio.to_thread(output.checkpoint, place, Counts(**counts))
                stored_at = monotonic()
    # not after an error, which can leave a record written in part
    output.checkpoint(place, Counts(**counts))
    await asyncio.to_thread(output.finish)
    return Counts(**counts)


def _write(judge: Judge, one: Judged, output: Output) -> str:
    if isinstance(one.result, Skip):
        return "skipped"
    if isinstance(one.result, RecordError):
        output.refuse(encode_refusal(one, one.result))
        return "refused"
    output.write(encode_verdict(judge.conclude(*one.result)))
    return "judged"


def encode_refusal(one: Judged, error: RecordError) -> bytes:
    """An exchange that cannot be judged, with the same source as a verdict has."""
    record = one.record
    return orjson.dumps(
        {
            "source": {
                "topic": record.partition.topic,
                "partition": record.partition.number,
                "offset": record.offset,
                "exchange": one.number,
            },
            "stage": error.stage,
            "error": type(error).__name__,
            "message": str(error),
        }
    )
