"""Judging: an event's prompt, the engine's completion of it, the guard's reading, the verdict.

The same steps serve the worker and the commands that judge without Kafka.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from worker.decoding.events import decode_event
from worker.decoding.framing import Framing, unframe
from worker.domain.errors import (
    EngineInterrupted,
    JudgingTimedOut,
    NotAnEvent,
    PoisonRecord,
    PromptTooLong,
    RecordError,
    Retriable,
    RetriesSpent,
)
from worker.domain.events import Event, Exchange, judged_exchange
from worker.domain.guard import Guard, Prompt
from worker.domain.ports import Clock, Completion, Engine, Tokenizer
from worker.domain.records import Record
from worker.domain.verdicts import (
    EngineReference,
    GuardReference,
    Verdict,
    VerdictSource,
    judge_event,
    rfc3339,
)
from worker.engine.poison_prompts import Isolation, PoisonPrompts, isolation_after
from worker.engine.retry import RetryPolicy, retrying
from worker.telemetry import Telemetry

# a timeout that fires later than this after its time fired in a process that had been stopped
_STOOD_STILL_SECONDS = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRecord:
    """A record on its way to judgement: decoded, rendered and tokenised.

    Attributes:
        taken_at: when that began, Unix seconds.
    """

    record: Record
    event: Event
    exchange: Exchange
    flags: tuple[str, ...]
    prompt_token_ids: list[int]
    taken_at: float

    @property
    def event_id(self) -> str:
        """The event's own id, or where it stands."""
        where = self.record
        return self.event.id or f"{where.partition.topic}-{where.partition.number}-{where.offset}"


class Judge:
    """Makes cases of records and verdicts of cases.

    Args:
        request_timeout_seconds: for one completion, waiting at the engine included.
        with_reasoning: whether verdicts carry the reasoning, which can quote people.
        framing: what stands before the JSON of a value.
    """

    def __init__(
        self,
        *,
        guard: Guard,
        engine: Engine,
        tokenizer: Tokenizer,
        telemetry: Telemetry,
        clock: Clock,
        model: str,
        revision: str | None,
        request_timeout_seconds: float,
        retries: RetryPolicy,
        with_reasoning: bool,
        framing: Framing = "none",
    ) -> None:
        self._guard = guard
        self._engine = engine
        self.tokenizer = tokenizer
        self._telemetry = telemetry
        self._clock = clock
        self._reference = GuardReference(guard.name, model, revision, guard.prompt_sha256)
        self._request_timeout_seconds = request_timeout_seconds
        self._retries = retries
        self._with_reasoning = with_reasoning
        self._framing: Framing = framing
        self._poison_prompts = PoisonPrompts()

    @property
    def max_at_once(self) -> int:
        """How many prompts the engine runs at once."""
        return self._engine.max_num_seqs

    @property
    def reference(self) -> GuardReference:
        """The guard and its model, as verdicts name them."""
        return self._reference

    @property
    def engine_reference(self) -> EngineReference:
        """The engine, as verdicts name it; whole once it runs."""
        return self._engine.reference

    async def prepare(self, records: Sequence[Record]) -> list[PreparedRecord | RecordError]:
        """A case for each record, or why there is none; in order."""
        taken_at = self._clock.now()
        read: list[tuple[Event, Exchange, Prompt] | RecordError] = []
        for record in records:
            try:
                if record.unreadable:
                    raise NotAnEvent(record.unreadable)
                headers = dict(record.headers)
                value = unframe(record.value or b"", self._framing, headers)
                event = decode_event(value, headers)
                exchange = judged_exchange(event)
            except RecordError as error:
                read.append(error)
            else:
                prompt = self._guard.render(exchange.prompt, exchange.response)
                read.append((event, exchange, prompt))
        limit = self._engine.max_prompt_tokens
        prompts = [item[2] for item in read if not isinstance(item, RecordError)]
        encoded = iter(await self.tokenizer.encode(prompts, limit) if prompts else ())
        cases: list[PreparedRecord | RecordError] = []
        for record, item in zip(records, read, strict=True):
            if isinstance(item, RecordError):
                cases.append(item)
                continue
            event, exchange, _ = item
            token_ids = next(encoded)
            if token_ids is None:
                cases.append(PromptTooLong(f"The prompt exceeds the model's {limit} tokens."))
                continue
            flags = self._guard.imitations(exchange.prompt, exchange.response)
            flags = (*self._engine.flags, *exchange.flags, *flags)
            cases.append(PreparedRecord(record, event, exchange, flags, token_ids, taken_at))
        return cases

    async def judge(self, case: PreparedRecord) -> Verdict:
        """The verdict on a case.

        Raises:
            RecordError: this case cannot be judged.
            Fatal: no case can.
        """
        return self.conclude(case, await self.complete(case))

    def conclude(self, case: PreparedRecord, completion: Completion) -> Verdict:
        """The verdict that the engine's completion of a case makes."""
        judgement = self._guard.read(
            completion.text,
            has_response=case.exchange.response is not None,
            finish_reason=completion.finish_reason,
        )
        record = case.record
        return judge_event(
            judgement,
            event=case.event,
            event_id=case.event_id,
            source=VerdictSource(
                record.partition.topic,
                record.partition.number,
                record.offset,
                rfc3339(max(record.timestamp_ms, 0) / 1000),
            ),
            guard=self._reference,
            engine=self._engine.reference,
            usage=completion.usage,
            finish_reason=completion.finish_reason,
            flags=case.flags,
            with_reasoning=self._with_reasoning,
            received_at=record.received_at,
            judged_at=self._clock.now(),
        )

    async def complete(self, case: PreparedRecord) -> Completion:
        """The engine's completion, asked for anew when the engine died under it.

        Raises:
            RecordError: this case cannot be judged.
            Fatal: no case can.
        """
        deaths = 0
        while True:
            isolation = isolation_after(deaths)
            await self._poison_prompts.enter(isolation)
            try:
                return await self._ask(case)
            except EngineInterrupted:
                deaths += 1
                if isolation is Isolation.ALONE:
                    raise PoisonRecord(
                        f"The engine died {deaths} times over this prompt, at last with it alone."
                    ) from None
            finally:
                self._poison_prompts.leave(isolation)

    async def _ask(self, case: PreparedRecord) -> Completion:
        async def attempt() -> Completion:
            with self._telemetry.chat(case.exchange, self._engine.reference.name) as chat:
                chat.completion = await self._engine.complete(
                    case.prompt_token_ids,
                    request_id=f"{case.record}#{case.record.epoch}",
                    trace=chat.context,
                )
                return chat.completion

        while True:
            # the wait for a restart is not the prompt's time
            await self._engine.ready()
            allowed = self._request_timeout_seconds
            began = self._clock.monotonic()
            try:
                async with asyncio.timeout(allowed):
                    return await retrying(
                        attempt,
                        policy=self._retries,
                        sleep=self._clock.sleep,
                        uniform=random.random,
                    )
            except TimeoutError:
                if self._clock.monotonic() - began > allowed + _STOOD_STILL_SECONDS:
                    continue  # not the engine stood still, but we
                raise JudgingTimedOut(f"No answer of the engine within {allowed:g} s.") from None
            except Retriable:
                raise RetriesSpent(
                    f"The engine failed {self._retries.attempts} times on this prompt."
                ) from None
