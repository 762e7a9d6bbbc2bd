"""The work on one event, which is the same for all who do it themselves.

Decode, render, tokenise, simulated engine, read, build the verdict, encode: the project's own
functions in a row, so that contenders differ only in how they move records.
"""

import time
from collections.abc import Coroutine, Sequence
from typing import Any

from worker.adapters.clock import SystemClock
from worker.adapters.simulated import Behaviour, SimulatedEngine
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.decoding.events import decode_event
from worker.domain.dead_letters import dead_letter
from worker.domain.engines import Completion, EngineReference
from worker.domain.errors import PromptTooLong, RecordError
from worker.domain.events import Event, Exchange, judged_exchange
from worker.domain.guard import first_request
from worker.domain.records import OutgoingRecord, Partition, Record
from worker.domain.verdict_records import verdict_record
from worker.domain.verdicts import GuardReference, VerdictSource, judge_event, rfc3339
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.guards.guardreasoner.parser import parse
from worker.guards.guardreasoner.prompt import imitations, render
from worker.runtime.engines import demonstration_model

REQUEST = first_request(GuardReasoner(), Exchange("How do I bake bread?", None))

# as much as values of 16 KiB need, and what the harness sets for Guardstream
MAX_MODEL_LEN = 32_768
_MAX_RECORD_BYTES = 1 << 20
# as Guardstream has it: the token ids of more would leave the caches
_CHUNK = 64


class Work:
    """Makes outcomes of records.

    Args:
        output: the topic for verdicts.
        dead: the topic for what cannot be judged.
    """

    def __init__(self, *, output: str, dead: str, group: str) -> None:
        self._output = output
        self._dead = dead
        self._group = group
        self._guard = GuardReasoner("raw")
        self._tokenizer = JsonTokenizer.load(demonstration_model())
        self._engine = SimulatedEngine(
            behaviour=Behaviour(time_to_first_token_seconds=0.0, time_per_output_token_seconds=0.0),
            clock=_NoWaiting(),
            max_model_len=MAX_MODEL_LEN,
        )
        self._reference = GuardReference(
            self._guard.name, "simulated", None, self._guard.prompt_sha256
        )

    def outcomes(self, records: Sequence[Record]) -> list[OutgoingRecord]:
        """A verdict or a dead letter for each record, in order; none for a tombstone."""
        records = [record for record in records if record.value is not None]
        chunks = (records[n : n + _CHUNK] for n in range(0, len(records), _CHUNK))
        return [outgoing for chunk in chunks for outgoing in self._outcomes(chunk)]

    def _outcomes(self, records: Sequence[Record]) -> list[OutgoingRecord]:
        read = [self._decode(record) for record in records]
        exchanges = [item[1] for item in read if not isinstance(item, RecordError)]
        prompts = [render(e.prompt, e.response) for e in exchanges]
        limit = self._engine.max_prompt_tokens
        # the same tokenizer without its thread, which a plain loop has no use for
        encoded = iter(self._tokenizer._encode(prompts, limit))  # noqa: SLF001
        outgoing = []
        for record, item in zip(records, read, strict=True):
            try:
                if isinstance(item, RecordError):
                    raise item
                token_ids = next(encoded)
                if token_ids is None:
                    raise PromptTooLong(f"The prompt exceeds the model's {limit} tokens.")
                outgoing.append(self._judge(record, *item, token_ids))
            except RecordError as error:
                outgoing.append(
                    dead_letter(
                        record,
                        error,
                        topic=self._dead,
                        group=self._group,
                        max_bytes=_MAX_RECORD_BYTES,
                    )
                )
        return outgoing

    def _decode(self, record: Record) -> tuple[Event, Exchange] | RecordError:
        try:
            event = decode_event(record.value or b"", dict(record.headers))
            return event, judged_exchange(event)
        except RecordError as error:
            return error

    def _judge(
        self, record: Record, event: Event, exchange: Exchange, token_ids: list[int]
    ) -> OutgoingRecord:
        return conclude(
            record,
            event,
            exchange,
            _finish(self._engine.complete(REQUEST, token_ids, request_id="", trace={})),
            reference=self._reference,
            engine=self._engine.reference,
            flags=self._engine.flags,
            topic=self._output,
        )


def conclude(
    record: Record,
    event: Event,
    exchange: Exchange,
    completion: Completion,
    *,
    reference: GuardReference,
    engine: EngineReference,
    flags: tuple[str, ...],
    topic: str,
) -> OutgoingRecord:
    """The verdict of a completion, as a record for this topic."""
    judgement = parse(
        completion.text,
        has_response=exchange.response is not None,
        finish_reason=completion.finish_reason,
    )
    where = record.partition
    verdict = judge_event(
        judgement,
        event=event,
        event_id=event.id or f"{where.topic}-{where.number}-{record.offset}",
        source=VerdictSource(
            where.topic, where.number, record.offset, rfc3339(max(record.timestamp_ms, 0) / 1000)
        ),
        guard=reference,
        engine=engine,
        usage=completion.usage,
        finish_reason=completion.finish_reason,
        flags=(*flags, *imitations(exchange.prompt, exchange.response)),
        with_reasoning=True,
        received_at=record.received_at,
        judged_at=time.time(),
    )
    return verdict_record(verdict, topic=topic, record=record)


def record_of(theirs: Any, received_at: float) -> Record:
    """The record that aiokafka's consumer gave."""
    return Record(
        Partition(theirs.topic, theirs.partition),
        0,
        theirs.offset,
        theirs.key,
        theirs.value,
        tuple(theirs.headers),
        theirs.timestamp,
        received_at,
    )


class _NoWaiting(SystemClock):
    """A clock that does not even yield: an engine of no latency then needs no event loop."""

    async def sleep(self, seconds: float) -> None:
        """Return at once."""


def _finish(completing: Coroutine[Any, Any, Completion]) -> Completion:
    """The result of a coroutine that never waits."""
    try:
        completing.send(None)
    except StopIteration as finished:
        return finished.value  # type: ignore[no-any-return]
    raise RuntimeError("The simulated engine waited, which it does not at zero latency.")
