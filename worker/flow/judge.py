"""Judging: records are prepared for the engine, the guard asks it, the verdict follows.

The same steps serve the worker and the commands that judge without Kafka.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from worker.decoding.decoder import Decoded, EventDecoder, Refused
from worker.domain.engines import EngineReference, EngineRequest
from worker.domain.errors import RecordError
from worker.domain.events import Event, Exchange, Skip
from worker.domain.guard import Asking, Guard, prompt_of
from worker.domain.ports import Clock
from worker.domain.records import Record
from worker.domain.verdicts import GuardReference, Verdict, VerdictSource, judge_event, rfc3339
from worker.flow.asking import Answer, Asker, prompt_too_long
from worker.flow.context import ContextBudget, turns_within
from worker.flow.gathering import GatheredRecord


@dataclass(slots=True, eq=False)
class PreparedRecord:
    """An exchange on its way to judgement: decoded, its first request rendered and tokenised.

    Attributes:
        gathered: where the outcomes of all exchanges of its record are gathered, if there are
            several.
        flags: of the engine and of the exchange.
        taken_at: when preparation began, Unix seconds.
    """

    record: Record
    decoded: Decoded
    flags: tuple[str, ...]
    request: EngineRequest
    prompt_token_ids: list[int]
    taken_at: float
    gathered: GatheredRecord | None = None
    _begun: Asking | None = field(default=None, repr=False)

    @property
    def number(self) -> int | None:
        """Which exchange of its record; None where a record holds only one."""
        return self.decoded.number

    @property
    def event(self) -> Event:
        """The event."""
        return self.decoded.event

    @property
    def exchange(self) -> Exchange:
        """What is judged."""
        return self.decoded.exchange

    @property
    def event_id(self) -> str:
        """The event's own id, or the place of its record."""
        if self.event.id:
            return self.event.id
        record = self.record
        place = f"{record.partition.topic}-{record.partition.number}-{record.offset}"
        return place if self.number is None else f"{place}#{self.number}"

    def ask_with_newest(self, turns: int, guard: Guard) -> None:
        """Begin the judgement with at most so many of the earlier turns."""
        exchange = self.exchange.with_newest(turns)
        added = [flag for flag in exchange.flags if flag not in self.flags]
        self.flags = (*self.flags, *added)
        self.decoded = self.decoded._replace(exchange=exchange)
        self._begun = guard.judge(exchange)
        self.request = next(self._begun)

    def begin(self, guard: Guard) -> Asking:
        """The judgement at its first request; a new one each time but the first."""
        asking, self._begun = self._begun, None
        if asking is None:
            asking = guard.judge(self.exchange)
            # the requests that continue it name this one
            self.request = next(asking)
        return asking


class Preparation(NamedTuple):
    """A record, its exchanges, and the reasons why others are skipped."""

    record: Record
    exchanges: list[PreparedRecord | Refused]
    skipped: Sequence[Skip] = ()


class Judge:
    """Prepares records, and makes verdicts of them.

    Args:
        guard_reference: the guard and its model, as verdicts name them.
        with_reasoning: whether verdicts carry the reasoning, which can quote people.
        context: what the earlier turns of a conversation can take; None where exchanges come
            without them.
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
        context: ContextBudget | None = None,
    ) -> None:
        self.guard = guard
        self.reference = guard_reference
        self._asker = asker
        self._engine = asker.engine
        self._tokenizer = asker.tokenizer
        self._decoder = decoder
        self._clock = clock
        self._with_reasoning = with_reasoning
        self._context = context

    @property
    def max_at_once(self) -> int:
        """How many prompts the engine runs at once."""
        return self._engine.max_num_seqs

    @property
    def engine_reference(self) -> EngineReference:
        """The engine, as verdicts name it; complete once it runs."""
        return self._engine.reference

    def trouble(self) -> str | None:
        """What records wait for before they can be decoded; None if they do not wait."""
        return self._decoder.trouble()

    async def prepare(self, records: Sequence[Record]) -> list[Preparation]:
        """Decode, render and tokenise, for each record in order."""
        await self._decoder.load(records)
        taken_at = self._clock.now()
        preparations, prepared = [], list[PreparedRecord]()
        for record in records:
            decoding = self._decoder.decode(record)
            exchanges: list[PreparedRecord | Refused] = []
            for found in decoding.exchanges:
                if isinstance(found, Refused):
                    exchanges.append(found)
                    continue
                asking = self.guard.judge(found.exchange)
                flags = (*self._engine.flags, *found.exchange.flags)
                one = PreparedRecord(
                    record, found, flags, next(asking), [], taken_at, _begun=asking
                )
                exchanges.append(one)
                prepared.append(one)
            preparations.append(Preparation(record, exchanges, decoding.skipped))
        counts = {} if self._context is None else await self._limit(self._context, prepared)
        if refused := await self._tokenise(prepared, counts):
            for preparation in preparations:
                preparation.exchanges[:] = [
                    Refused(one.number, refused[one]) if one in refused else one
                    for one in preparation.exchanges
                ]
        return preparations

    async def _limit(
        self, context: ContextBudget, prepared: Sequence[PreparedRecord]
    ) -> dict[PreparedRecord, Sequence[int]]:
        """Leave out the oldest turns that exceed a budget; returns the tokens of each turn."""
        in_context = [one for one in prepared if one.exchange.context]
        if not in_context:
            return {}
        counted = await context.count([one.exchange for one in in_context])
        for one, counts in zip(in_context, counted, strict=True):
            if (turns := turns_within(counts, context.tokens)) < len(counts):
                one.ask_with_newest(turns, self.guard)
        return dict(zip(in_context, counted, strict=True))

    async def _tokenise(
        self, prepared: Sequence[PreparedRecord], counts: Mapping[PreparedRecord, Sequence[int]]
    ) -> dict[PreparedRecord | Refused, RecordError]:
        """Render and tokenise first prompts; returns those that cannot be asked, and why."""
        refused: dict[PreparedRecord | Refused, RecordError] = {}
        while prepared:
            prepared = await self._tokenise_once(prepared, counts, refused)
        return refused

    async def _tokenise_once(
        self,
        prepared: Sequence[PreparedRecord],
        counts: Mapping[PreparedRecord, Sequence[int]],
        refused: dict[PreparedRecord | Refused, RecordError],
    ) -> list[PreparedRecord]:
        """Adds to `refused`; returns those that now have fewer earlier turns, for another try."""
        rendered, prompts, again = [], [], list[PreparedRecord]()
        for one in prepared:
            prompt = prompt_of(one.request)
            try:
                # a prompt can be rendered as late as here
                _ = prompt.runs
            except RecordError as error:
                if one.exchange.context:
                    one.ask_with_newest(0, self.guard)
                    again.append(one)
                else:
                    refused[one] = error
                continue
            rendered.append(one)
            prompts.append(prompt)
        if not rendered:
            return again
        limit = self._engine.max_prompt_tokens
        # of a prompt that is too long for its context only, the tokens are counted
        most = limit if self._context is None else limit + self._context.tokens
        encoded = await self._tokenizer.encode(prompts, most)
        for one, token_ids in zip(rendered, encoded, strict=True):
            if token_ids is not None and len(token_ids) <= limit:
                one.prompt_token_ids = token_ids
            elif one.exchange.context:
                turns, held = 0, counts.get(one, ())[: len(one.exchange.context)]
                if token_ids is not None:
                    turns = turns_within(held, sum(held) - (len(token_ids) - limit))
                one.ask_with_newest(turns, self.guard)
                again.append(one)
            else:
                refused[one] = prompt_too_long(limit)
        return again

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
        asking = prepared.begin(self.guard)
        return await self._asker.ask(
            asking,
            prepared.request,
            prepared.prompt_token_ids,
            exchange=prepared.exchange,
            about=_request_id(prepared),
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
                prepared.number,
            ),
            guard=self.reference,
            engine=self._engine.reference,
            usage=answer.usage,
            finish_reason=answer.finish_reason,
            flags=prepared.flags,
            with_reasoning=self._with_reasoning,
            received_at=record.received_at,
            judged_at=self._clock.now(),
            context_turns=len(prepared.exchange.context),
        )


def _request_id(prepared: PreparedRecord) -> str:
    about = f"{prepared.record}#{prepared.record.epoch}"
    return about if prepared.number is None else f"{about}#{prepared.number}"
