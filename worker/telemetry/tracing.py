"""Spans: one trace from the producer of an event to the consumer of its verdict.

Where nothing is recorded, the producer's context is passed on unchanged. Text of events is recorded
only if a setting asks for it, up to a number of characters.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NoOpTracer, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from worker.domain.engines import Completion, EngineRequest
from worker.domain.events import Exchange
from worker.domain.records import Headers, Record
from worker.telemetry import attributes

_CONTEXT = ("traceparent", "tracestate", "baggage")
# not the baggage: nothing here uses it, and OpenTelemetry splits it in quadratic time
_PROPAGATOR = TraceContextTextMapPropagator()
_MAX_CARRIED_BYTES = 8192
_MAX_BAGGAGE_MEMBERS = 180
# the SDK keeps no more
_MAX_LINKS = 128
_KAFKA = {attributes.SYSTEM: "kafka"}


class Tracing:
    """Makes the spans of one worker.

    Args:
        tracer: without one nothing is recorded, and `recording` is False.
        content_characters: of a prompt and of a completion that are recorded.
    """

    def __init__(
        self,
        tracer: Tracer | None = None,
        *,
        group: str = "",
        model: str = "",
        content_characters: int = 0,
    ) -> None:
        self.recording = tracer is not None
        self._tracer = tracer or NoOpTracer()
        self._group = group
        self._model = model
        self._content_characters = content_characters

    def poll(self, topic: str, records: Sequence[Record], began: float) -> None:
        """The span of a poll that returned records of a topic."""
        self._tracer.start_span(
            f"{attributes.POLL} {topic}",
            kind=SpanKind.CLIENT,
            start_time=_nanoseconds(began),
            links=_links(records),
            attributes=_KAFKA
            | {
                attributes.OPERATION: attributes.POLL,
                attributes.OPERATION_TYPE: "receive",
                attributes.DESTINATION: topic,
                attributes.GROUP: self._group,
                attributes.MESSAGE_COUNT: len(records),
            },
        ).end()

    def batch(self, records: Sequence[Record], tokens: int, reason: str, began: float) -> None:
        """The span of a micro-batch that closed."""
        self._tracer.start_span(
            attributes.BATCH,
            start_time=_nanoseconds(began),
            links=_links(records),
            attributes={
                attributes.MESSAGE_COUNT: len(records),
                attributes.BATCH_TOKENS_USED: tokens,
                attributes.BATCH_REASON: reason,
            },
        ).end()

    @contextmanager
    def process(self, record: Record, began: float) -> Iterator[Span]:
        """The span of one record, in the trace of its producer."""
        topic = record.partition.topic
        with self._tracer.start_as_current_span(
            f"{attributes.PROCESS} {topic}",
            context=_context(record),
            kind=SpanKind.CONSUMER,
            start_time=_nanoseconds(began),
            # an error's message can contain text of the event: only its name is recorded
            record_exception=False,
            set_status_on_exception=False,
            attributes=_KAFKA
            | {
                attributes.OPERATION: attributes.PROCESS,
                attributes.OPERATION_TYPE: "process",
                attributes.DESTINATION: topic,
                attributes.PARTITION_ID: str(record.partition.number),
                attributes.GROUP: self._group,
                attributes.OFFSET: record.offset,
            },
        ) as span:
            yield span

    @contextmanager
    def chat(self, exchange: Exchange, request: EngineRequest, provider: str) -> Iterator[Span]:
        """The span of one completion."""
        known: dict[str, str | float] = {
            attributes.GENAI_OPERATION: attributes.CHAT,
            attributes.PROVIDER: provider,
            attributes.REQUEST_MODEL: self._model,
            attributes.REQUEST_TEMPERATURE: request.temperature,
        }
        if request.max_tokens is not None:
            known[attributes.REQUEST_MAX_TOKENS] = request.max_tokens
        if self._content_characters:
            known[attributes.INPUT_MESSAGES] = self._messages(
                user=exchange.prompt, assistant=exchange.response
            )
        with self._tracer.start_as_current_span(
            f"{attributes.CHAT} {self._model}",
            kind=SpanKind.CLIENT,
            record_exception=False,
            set_status_on_exception=False,
            attributes=known,
        ) as span:
            yield span

    def completed(self, span: Span, completion: Completion) -> None:
        """Add the result of a completion to its span."""
        if not span.is_recording():
            return
        span.set_attributes(
            {
                attributes.FINISH_REASONS: [completion.finish_reason or "unknown"],
                attributes.INPUT_TOKENS: completion.usage.prompt_tokens,
                attributes.OUTPUT_TOKENS: completion.usage.completion_tokens,
                attributes.CACHED_TOKENS: completion.usage.cached_tokens,
            }
        )
        if self._content_characters:
            span.set_attribute(
                attributes.OUTPUT_MESSAGES, self._messages(assistant=completion.text)
            )

    def send(self, topic: str) -> Span:
        """The span of an outcome, from now until it is durable."""
        return self._tracer.start_span(
            f"{attributes.SEND} {topic}",
            kind=SpanKind.PRODUCER,
            attributes=_KAFKA
            | {
                attributes.OPERATION: attributes.SEND,
                attributes.OPERATION_TYPE: "send",
                attributes.DESTINATION: topic,
            },
        )

    @contextmanager
    def commit(self, topic: str | None) -> Iterator[Span]:
        """The span of a commit, of offsets alone or of a transaction."""
        with self._tracer.start_as_current_span(
            f"{attributes.COMMIT} {topic}" if topic else attributes.COMMIT,
            context=Context(),
            kind=SpanKind.CLIENT,
            record_exception=False,
            set_status_on_exception=False,
            attributes=_KAFKA
            | {attributes.OPERATION: attributes.COMMIT, attributes.OPERATION_TYPE: "settle"}
            | ({attributes.DESTINATION: topic} if topic else {})
            | {attributes.GROUP: self._group},
        ) as span:
            yield span

    def _messages(self, **contents: str | None) -> str:
        """Messages as the JSON of the conventions, each truncated to `content_characters`."""
        limit = self._content_characters
        return json.dumps(
            [
                {"role": role, "parts": [{"type": "text", "content": content[:limit]}]}
                for role, content in contents.items()
                if content is not None
            ],
            ensure_ascii=False,
        )


def fail(span: Span, error: BaseException) -> None:
    """Mark a span as failed, with the name of the error but not its message."""
    span.set_attribute(attributes.ERROR_TYPE, type(error).__name__)
    span.set_status(Status(StatusCode.ERROR))


def carrier(span: Span) -> dict[str, str]:
    """The context of a span, to be passed on."""
    found: dict[str, str] = {}
    propagate.inject(found, trace.set_span_in_context(span))
    return found


def trace_headers(context: Mapping[str, str]) -> Headers:
    """A trace context as record headers."""
    return tuple((name, value.encode()) for name, value in context.items())


def carried(headers: Headers) -> Headers:
    """The producer's context unchanged: trace and baggage, each only if it is valid."""
    found: dict[str, bytes] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered in _CONTEXT and value and len(value) <= _MAX_CARRIED_BYTES:
            found[lowered] = value
    if not _is_traceparent(found.get("traceparent", b"")):
        found.pop("traceparent", None)
        found.pop("tracestate", None)
    if not _is_baggage(found.get("baggage", b"")):
        found.pop("baggage", None)
    return tuple(found.items())


def baggage(headers: Headers) -> Headers:
    """The producer's baggage, if it is valid."""
    return tuple(header for header in carried(headers) if header[0] == "baggage")


def _is_baggage(value: bytes) -> bool:
    members = value.split(b",", _MAX_BAGGAGE_MEMBERS)
    return (
        len(members) <= _MAX_BAGGAGE_MEMBERS
        and value.isascii()
        and value.decode("ascii").isprintable()
        and all(member.partition(b"=")[0].strip() and b"=" in member for member in members)
    )


def _is_traceparent(value: bytes) -> bool:
    """Whether a header has the form `00-<32 digits>-<16 digits>-01`, in lower-case hexadecimal.

    Ids of zeros and version ff are invalid by the specification.
    """
    return (
        len(value) == 55
        and value[:2] != b"ff"
        and value[3:35] != b"0" * 32
        and value[36:52] != b"0" * 16
        and value[2] == value[35] == value[52] == ord("-")
        and value.count(b"-") == 3
        and not value.translate(None, b"0123456789abcdef-")
    )


def trace_id(headers: Headers) -> str | None:
    """The id of the trace that headers carry."""
    context = dict(carried(headers)).get("traceparent")
    return None if context is None else context[3:35].decode()


def _context(record: Record) -> Context:
    found = {name: value.decode("latin-1") for name, value in carried(record.headers)}
    return _PROPAGATOR.extract(found, Context())


def _links(records: Sequence[Record]) -> list[Link]:
    """Links to the spans in which records were produced."""
    contexts = (
        trace.get_current_span(_context(record)).get_span_context()
        for record in records[:_MAX_LINKS]
    )
    return [Link(context) for context in contexts if context.is_valid]


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
