"""Fixtures made by OpenTelemetry's SDK: spans and log records."""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai

from tests.tools.fixtures_made.fixture import (
    BY_HAND,
    Fixture,
    judged,
    made_with,
    refused,
    skipped,
)

_PRESET = "otel-genai"
_MODEL = "gpt-5-mini"
_AT = 1_772_359_200 * 10**9
_WHEN = "2026-03-01T10:00:00Z"
_RESOURCE = Resource({"service.name": "chat"})
_EVENT = "gen_ai.client.inference.operation.details"


class _Ids(IdGenerator):
    """The same ids in each run."""

    def __init__(self) -> None:
        self._last = 0

    def generate_span_id(self) -> int:
        self._last += 1
        return self._last

    def generate_trace_id(self) -> int:
        return 7


_TRACE_ID = f"{7:032x}"


def _spans(*attributes: dict[str, Any]) -> Sequence[Any]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=_RESOURCE, id_generator=_Ids(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("chat")
    for held in attributes:
        name = f"{held.get(gen_ai.GEN_AI_OPERATION_NAME)} {_MODEL}"
        tracer.start_span(name, attributes=held, start_time=_AT - 10**9).end(end_time=_AT)
    return exporter.get_finished_spans()


def _otlp(*attributes: dict[str, Any]) -> dict[str, Any]:
    """A batch of spans in OTLP's JSON, of which ids are hexadecimal."""
    batch = MessageToDict(encode_spans(_spans(*attributes)))
    number = 0
    for resource in batch["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                number += 1
                span |= {"traceId": _TRACE_ID, "spanId": f"{number:016x}"}
    return batch


def _otlp_logs(attributes: dict[str, Any]) -> dict[str, Any]:
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(resource=_RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    record = LogRecord(
        timestamp=_AT, observed_timestamp=_AT, event_name=_EVENT, attributes=attributes
    )
    provider.get_logger("chat").emit(record)
    return MessageToDict(encode_logs(exporter.get_finished_logs()))


def _message(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "parts": list(parts)}


def _text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def _chat(
    own_id: str, given: list[Any], answer: list[Any], *, packed: bool = True, **more: Any
) -> dict[str, Any]:
    def write(value: list[Any]) -> Any:
        return orjson.dumps(value).decode() if packed else value

    return {
        gen_ai.GEN_AI_OPERATION_NAME: "chat",
        gen_ai.GEN_AI_PROVIDER_NAME: "openai",
        gen_ai.GEN_AI_REQUEST_MODEL: "gpt-5",
        gen_ai.GEN_AI_RESPONSE_MODEL: _MODEL,
        gen_ai.GEN_AI_RESPONSE_ID: own_id,
        gen_ai.GEN_AI_RESPONSE_FINISH_REASONS: ["stop"],
        gen_ai.GEN_AI_USAGE_INPUT_TOKENS: 12,
        gen_ai.GEN_AI_INPUT_MESSAGES: write(given),
        gen_ai.GEN_AI_OUTPUT_MESSAGES: write(answer),
        **more,
    }


def _records() -> Iterator[tuple[str, Any, list[dict[str, Any]]]]:
    fields = {"model": _MODEL, "occurred_at": _WHEN, "conversation_id": _TRACE_ID}
    given = [
        _message("system", _text("You know bees.")),
        _message("user", _text("Hello")),
        _message("assistant", _text("Hi.")),
        _message("user", _text("What do bees eat?")),
    ]
    thought = {"type": "reasoning", "content": "They ask about food."}
    said = {**_message("assistant", thought, _text("Nectar.")), "finish_reason": "stop"}
    own = {gen_ai.GEN_AI_CONVERSATION_ID: "conversation-1", "user.id": "user-1"}
    first = _chat("chatcmpl-1", given, [said], **own)
    expected = judged(
        "What do bees eat?",
        "Nectar.",
        id="chatcmpl-1",
        user_id="user-1",
        **{**fields, "conversation_id": "conversation-1"},
    )
    call = {"type": "tool_call", "id": "call_1", "name": "look_up", "arguments": {"bee": "wild"}}
    result = {"type": "tool_call_response", "id": "call_1", "response": "30 days"}
    given = [
        _message("user", _text("How long do bees live?")),
        _message("assistant", call),
        _message("tool", result),
    ]
    said = _message("assistant", _text("About 30 days."))
    second = _chat("chatcmpl-2", given, [said], packed=False)
    tool = {gen_ai.GEN_AI_OPERATION_NAME: "execute_tool", gen_ai.GEN_AI_TOOL_NAME: "look_up"}
    agent = {gen_ai.GEN_AI_OPERATION_NAME: "invoke_agent", gen_ai.GEN_AI_AGENT_NAME: "keeper"}
    http = {"http.request.method": "POST"}
    both = [
        expected,
        judged("How long do bees live?", "About 30 days.", id="chatcmpl-2", **fields),
        *[skipped()] * 3,
    ]
    yield "batch_of_spans", _otlp(tool, first, http, second, agent), both
    yield "batch_without_chats", _otlp(tool, http), [skipped()] * 2

    (span,) = _spans(first)
    written = orjson.loads(span.to_json())
    yield "span_of_the_console", written, [expected]
    yield (
        "attributes",
        first,
        [{name: value for name, value in expected.items() if name != "occurred_at"}],
    )

    packed = {**expected, "id": "chatcmpl-3"}
    yield "log_record", _otlp_logs({**first, gen_ai.GEN_AI_RESPONSE_ID: "chatcmpl-3"}), [packed]

    blob = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGk="}
    given = [_message("user", _text("Is this a bee?"), blob)]
    said = _message("assistant", _text("A wasp."))
    yield (
        "image",
        _otlp(_chat("chatcmpl-4", given, [said])),
        [judged("Is this a bee?", "A wasp.", id="chatcmpl-4", flags=["not_all_text"], **fields)],
    )

    said = {**_message("assistant", call), "finish_reason": "tool_call"}
    given = [_message("user", _text("Look up bees"))]
    yield (
        "only_a_tool_call",
        _otlp(_chat("chatcmpl-5", given, [said])),
        [judged("Look up bees", id="chatcmpl-5", **fields)],
    )

    yield (
        "empty_answer",
        _otlp(_chat("chatcmpl-6", given, [])),
        [judged("Look up bees", id="chatcmpl-6", **fields)],
    )

    answers = [_message("assistant", _text(text)) for text in ("Buzz", "Hum")]
    given = [_message("user", _text("Name my bee"))]
    yield (
        "two_choices",
        _otlp(_chat("chatcmpl-7", given, answers)),
        [judged("Name my bee", "Buzz\n\nHum", id="chatcmpl-7", **fields)],
    )

    dark = _chat("chatcmpl-8", [], [])
    del dark[gen_ai.GEN_AI_INPUT_MESSAGES], dark[gen_ai.GEN_AI_OUTPUT_MESSAGES]
    yield (
        "content_capture_off",
        _otlp(dark),
        [refused("Redacted", "was not logged (mapping otel-genai)")],
    )

    cut = _chat("chatcmpl-9", given, answers)
    cut[gen_ai.GEN_AI_OUTPUT_MESSAGES] = cut[gen_ai.GEN_AI_OUTPUT_MESSAGES][:40]
    yield "truncated_attribute", _otlp(cut), [refused("NotAnEvent", "is not JSON")]


def fixtures() -> Iterator[Fixture]:
    sdk = f"{made_with('opentelemetry-sdk')}, {made_with('opentelemetry-semantic-conventions')}"
    for name, record, expected in _records():
        yield Fixture(_PRESET, name, BY_HAND if name == "attributes" else sdk, record, expected)
