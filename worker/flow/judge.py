"""Judging: records are prepared for the engine, the guard asks it, the verdict follows.

The same steps serve the worker and the commands that judge without Kafka.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.decoding.decoder import EventDecoder
from worker.domain.engines import EngineReference, EngineRequest
from worker.domain.errors import PromptTooLong, RecordError
from worker.domain.events import Event, Exchange
from worker.domain.guard import Asking, Guard, prompt_of
from worker.domain.ports import Clock
from worker.domain.records import Record
from worker.domain.verdicts import GuardReference, Verdict, VerdictSource, judge_event, rfc3339
from worker.flow.asking import Answer, Asker


@dataclass(slots=True, eq=False)
class PreparedRecord:
    """A record on its way to judgement: decoded, its first request rendered and tokenised.

    Attributes:
        flags: of the engine and of the exchange.
        taken_at: when preparation began, Unix seconds.
    """

    record: Record
    event: Event
    exchange: Exchange
    flags: tuple[str, ...]
    request: EngineRequest
    prompt_token_ids: list[int]
    taken_at: float
    _begun: Asking | None = field(default=None, repr=False)

    @property
    def event_id(self) -> str:
        """The event's own id, or the place of its record."""
        record = self.record
        return (
            self.event.id or f"{record.partition.topic}-{record.partition.number}-{record.offset}"
        )

    def begin(self, guard: Guard) -> Asking:
        """The judgement at its first request; a new one each time but the first."""
        asking, self._begun = self._begun, None
        if asking is None:
            asking = guard.judge(self.exchange)
            next(asking)
        return asking


class Judge:
    """Prepares records, and makes verdicts of them.

    Args:
        guard_reference: the guard and its model, as verdicts name them.
        with_reasoning: whether verdicts carry the reasoning, which can quote people.
    """

    def __init__(
        self,
        *,
        guard: Guard,
        guard_reference: GuardReference,
        asker: Asker,
        decoder: EventDecoder,
        clock: Clock,
        with_reasoning: bool = True,
    ) -> None:
        self.guard = guard
        self.reference = guard_reference
        self._asker = asker
        self._engine = asker.engine
        self._tokenizer = asker.tokenizer
        self._decoder = decoder
        self._clock = clock
        self._with_reasoning = with_reasoning

    @property
    def max_at_once(self) -> int:
        """How many prompts the engine runs at once."""
        return self._engine.max_num_seqs

    @property
    def engine_reference(self) -> EngineReference:
        """The engine, as verdicts name it; complete once it runs."""
        return self._engine.reference

    async def prepare(self, records: Sequence[Record]) -> list[PreparedRecord | RecordError]:
        """Decode, render and tokenise; for each record in order, or why it cannot be judged."""
        taken_at = self._clock.now()
        read: list[tuple[Event, Exchange, Asking, EngineRequest] | RecordError] = []
        for record in records:
            try:
                event, exchange = self._decoder.decode(record)
            except RecordError as error:
                read.append(error)
            else:
                asking = self.guard.judge(exchange)
                read.append((event, exchange, asking, next(asking)))
        limit = self._engine.max_prompt_tokens
        prompts = [prompt_of(item[3]) for item in read if not isinstance(item, RecordError)]
        encoded = iter(await self._tokenizer.encode(prompts, limit) if prompts else ())
        prepared: list[PreparedRecord | RecordError] = []
        for record, item in zip(records, read, strict=True):
            if isinstance(item, RecordError):
                prepared.append(item)
                continue
            event, exchange, asking, request = item
            token_ids = next(encoded)
            if token_ids is None:
                prepared.append(PromptTooLong(f"The prompt exceeds the model's {limit} tokens."))
                continue
            flags = (*self._engine.flags, *exchange.flags)
            prepared.append(
                PreparedRecord(record, event, exchange, flags, request, token_ids, taken_at, asking)
            )
        return prepared

    async def judge(self, prepared: PreparedRecord) -> Verdict:
        """The verdict on a record.

        Raises:
            RecordError: this record cannot be judged.
            Fatal: no record can.
        """
        return self.conclude(prepared, await self.ask(prepared))

    async def ask(self, prepared: PreparedRecord) -> Answer:
        """The guard's judgement, and the completions that it follows from.

        Raises:
            RecordError: this record cannot be judged.
            Fatal: no record can.
        """
        return await self._asker.ask(
            prepared.begin(self.guard),
            prepared.request,
            prepared.prompt_token_ids,
            exchange=prepared.exchange,
            about=f"{prepared.record}#{prepared.record.epoch}",
        )

    def conclude(self, prepared: PreparedRecord, answer: Answer) -> Verdict:
        """The verdict that follows from the guard's judgement."""
        record = prepared.record
        return judge_event(
            answer.judgement,
            event=prepared.event,
            event_id=prepared.event_id,
            source=VerdictSource(
                record.partition.topic,
                record.partition.number,
                record.offset,
                rfc3339(max(record.timestamp_ms, 0) / 1000),
            ),
            guard=self.reference,
            engine=self._engine.reference,
            usage=answer.usage,
            finish_reason=answer.completions[-1].finish_reason,
            flags=prepared.flags,
            with_reasoning=self._with_reasoning,
            received_at=record.received_at,
            judged_at=self._clock.now(),
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """A record that `judge_all` is done with.

    Attributes:
        prepared: None where the record could not be prepared.
        answer: or why there is none.
    """

    record: Record
    prepared: PreparedRecord | None
    answer: Answer | RecordError


async def judge_all(
    judge: Judge, records: AsyncIterator[Record], limit: int
) -> AsyncGenerator[Judged, None]:
    """Judge records without a bus, at most `limit` at a time; in the order in which they are done.

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
                if isinstance(result, Judged):
                    running.discard(one)
                    yield result
                elif result is None:
                    coming, at_end = None, True
                else:
                    coming = None
                    running.add(asyncio.ensure_future(_judge_one(judge, result)))
    finally:
        left = [*running, *finished, *([coming] if coming is not None else [])]
        for one in left:
            one.cancel()
        # of several that failed at once one is raised, and the others are retrieved here
        await asyncio.gather(*left, return_exceptions=True)


async def _judge_one(judge: Judge, record: Record) -> Judged:
    prepared = (await judge.prepare([record]))[0]
    if isinstance(prepared, RecordError):
        return Judged(record, None, prepared)
    try:
        return Judged(record, prepared, await judge.ask(prepared))
    except RecordError as error:
        return Judged(record, prepared, error)
