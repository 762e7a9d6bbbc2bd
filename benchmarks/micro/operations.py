"""The steps of a record through the worker, each alone, and the full path without Kafka.

An operation is made once; each call of it takes the same `EVENTS` events through its step, so that
a call can be counted after others have warmed everything up.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.micro.policies import RULES, TENANTS, large_policy, verdicts
from benchmarks.micro.samples import (
    PARTITIONS,
    completions,
    record_of_event,
    record_of_preset,
    records,
)
from benchmarks.micro.telemetry import BATCH, TelemetryCalls
from benchmarks.micro.way import Way, demonstration_tokenizer
from worker.decoding.decoder import EventDecoder
from worker.decoding.events import decode_event
from worker.decoding.mapping import load_mapping
from worker.delivery.offset_ledger import OffsetLedger
from worker.domain.decisions import encode_decision
from worker.domain.engines import EngineReference, Usage
from worker.domain.events import judged_exchange
from worker.domain.guard import first_prompt
from worker.domain.outcomes import Destinations
from worker.domain.records import Partition
from worker.domain.verdicts import GuardReference, VerdictSource, judge_event, rfc3339
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.guards.guardreasoner.parser import parse

EVENTS = 256
INTERPRETER = "interpreter"
_TAKEN_AT_ONCE = 64
_MAX_PROMPT_TOKENS = 7792
_MAX_BYTES = 1 << 20

Call = Callable[[], object]


@dataclass(frozen=True)
class Operation:
    """A step: its name, what it does, and how it is made."""

    name: str
    what: str
    make: Callable[[], Call]


def _interpreter() -> Call:
    words = [f"word {n}" for n in range(EVENTS)]

    def call() -> None:
        for word in words:
            found: dict[str, int] = {}
            for at in range(200):
                found[f"{word[at % 6 :]}{at}"] = len(word) + at
            sorted(found.items())

    return call


def _decode() -> Call:
    values = records(EVENTS)

    def call() -> None:
        for record in values:
            judged_exchange(decode_event(record.value or b"", dict(record.headers)))

    return call


def _mapped(preset: str, fixture: str) -> Callable[[], Call]:
    def make() -> Call:
        decoder = EventDecoder(mapping=load_mapping(preset))
        record = record_of_preset(preset, fixture)
        return lambda: [decoder.decode(record) for _ in range(EVENTS)]

    return make


def _unmapped(preset: str, fixture: str) -> Callable[[], Call]:
    def make() -> Call:
        mapped = EventDecoder(mapping=load_mapping(preset))
        event, _ = mapped.decode_one(record_of_preset(preset, fixture))
        decoder, record = EventDecoder(), record_of_event(event)
        return lambda: [decoder.decode(record) for _ in range(EVENTS)]

    return make


def _prompt() -> Call:
    guard, tokenizer = GuardReasoner(), demonstration_tokenizer()
    exchanges = [
        judged_exchange(decode_event(r.value or b"", dict(r.headers))) for r in records(EVENTS)
    ]

    async def render() -> None:
        for start in range(0, EVENTS, _TAKEN_AT_ONCE):
            chunk = exchanges[start : start + _TAKEN_AT_ONCE]
            prompts = [first_prompt(guard, exchange) for exchange in chunk]
            await tokenizer.encode(prompts, _MAX_PROMPT_TOKENS)

    return lambda: asyncio.run(render())


def _parse() -> Call:
    texts = completions(EVENTS)

    def call() -> None:
        for text in texts:
            parse(text, has_response=True, finish_reason="stop")

    return call


def _encode() -> Call:
    guard = GuardReasoner()
    reference = GuardReference(guard.name, "m", None, guard.prompt_sha256)
    engine, usage = EngineReference("vllm", "1"), Usage(200, 100, 110)
    given = records(EVENTS)
    events = [decode_event(record.value or b"", dict(record.headers)) for record in given]
    read = [parse(text, has_response=True, finish_reason="stop") for text in completions(EVENTS)]
    destinations = Destinations("verdicts", "dead", "group", lambda _: _MAX_BYTES)

    def call() -> None:
        for record, event, judgement in zip(given, events, read, strict=True):
            where = record.partition
            verdict = judge_event(
                judgement,
                event=event,
                event_id=event.id or "",
                source=VerdictSource(
                    *(where.topic, where.number, record.offset),
                    rfc3339(record.timestamp_ms / 1000),
                ),
                guard=reference,
                engine=engine,
                usage=usage,
                finish_reason="stop",
                flags=(),
                with_reasoning=True,
                received_at=record.received_at,
                judged_at=record.received_at,
            )
            destinations.verdict(record, verdict, ())

    return call


def _decide() -> Call:
    policy, given = large_policy(), verdicts(EVENTS)
    return lambda: [encode_decision(policy.decide(verdict, 0.0)) for verdict in given]


def _ledger() -> Call:
    ledger = OffsetLedger()
    partitions = [Partition("events", number) for number in range(PARTITIONS)]
    for partition in partitions:
        ledger.assign(partition, 1, 0)
    epochs = dict.fromkeys(partitions, 1)
    draw, first = random.Random(11), 0

    def call() -> None:
        nonlocal first
        last = first + EVENTS // PARTITIONS
        received = [(p, offset) for offset in range(first, last) for p in partitions]
        for partition, offset in received:
            ledger.receive(partition, 1, offset)
        draw.shuffle(received)
        for partition, offset in received:
            ledger.resolve(partition, 1, offset)
        ledger.note_commit(ledger.committable(), epochs)
        first = last

    return call


def _telemetry() -> Call:
    calls = TelemetryCalls()

    def call() -> None:
        for _ in range(EVENTS // BATCH):
            calls.make()

    return call


def _way() -> Call:
    way = Way(records(EVENTS), completions(EVENTS))
    return way.go


def mapped_name(preset: str) -> str:
    """The operation that decodes a record by a preset."""
    return f"{preset}, mapped"


def unmapped_name(preset: str) -> str:
    """The operation that decodes the same exchange as an event."""
    return f"{preset}, as event"


# the presets that take the longest, and one that many use
MAPPED = {
    "otel-genai": "log_record",
    "bedrock-converse": "invocation_log",
    "litellm": "completion",
    "openai-chat": "request_and_response",
}
STEPS = (
    Operation(INTERPRETER, "Python alone, for comparison", _interpreter),
    Operation("decode", "bytes to the judged exchange", _decode),
    Operation("prompt", "rendering, tokenising, detecting imitated templates", _prompt),
    Operation("parse", "completion to judgement", _parse),
    Operation("encode", "judgement to the verdict's record", _encode),
    Operation("ledger", "receiving, resolving and committing an offset", _ledger),
    Operation("telemetry", "metrics and log context", _telemetry),
    Operation("way", "all steps and the pipeline around them, on an in-memory bus", _way),
)
_PRESETS = tuple(
    Operation(name, f"a record of 2 KiB to the judged exchange, {how}", make(preset, fixture))
    for preset, fixture in MAPPED.items()
    for name, how, make in (
        (mapped_name(preset), "by the preset", _mapped),
        (unmapped_name(preset), "without a mapping", _unmapped),
    )
)
# no step of a worker without a policy
_DECIDE = Operation(
    "decide", f"a verdict to the bytes of its decision, {RULES} rules, {TENANTS} tenants", _decide
)
OPERATIONS = {operation.name: operation for operation in (*STEPS, *_PRESETS, _DECIDE)}
