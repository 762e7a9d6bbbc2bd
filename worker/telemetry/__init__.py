"""Every span, metric and attribute name, in one place (semantic conventions v1.44)."""

from collections.abc import Mapping
from contextlib import AbstractContextManager

from opentelemetry import metrics, propagate, trace

from worker.batching import CloseReason
from worker.records import Headers, Record
from worker.verdicts import Task, Verdict


class Telemetry:
    """The instruments of one worker; records nothing of what people wrote."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._tracer = trace.get_tracer("guardstream")
        meter = metrics.get_meter("guardstream")
        self._received = meter.create_counter(
            "messaging.client.consumed.messages", unit="{message}", description="Records received."
        )
        self._verdicts = meter.create_counter(
            "guardstream.verdicts", unit="{verdict}", description="Labels published, by task."
        )
        self._dead_letters = meter.create_counter(
            "guardstream.dead_letters", unit="{record}", description="Dead letters, by stage."
        )
        self._tombstones = meter.create_counter(
            "guardstream.tombstones", unit="{record}", description="Null values, skipped."
        )
        self._batches = meter.create_histogram(
            "guardstream.batch.size", unit="{record}", description="Micro-batches, by close reason."
        )
        self._tokens = meter.create_counter(
            "guardstream.tokens", unit="{token}", description="Tokens, by type."
        )
        self._age = meter.create_histogram(
            "guardstream.verdict.age", unit="s", description="From Kafka's timestamp to verdict."
        )
        self._in_flight = meter.create_up_down_counter(
            "guardstream.in_flight", unit="{record}", description="Records at the engine."
        )

    def received(self, topic: str, count: int) -> None:
        """Records came in."""
        self._received.add(
            count, {"messaging.system": "kafka", "messaging.destination.name": topic}
        )

    def batch_closed(self, size: int, reason: CloseReason) -> None:
        """A micro-batch closed."""
        self._batches.record(size, {"reason": reason.value})

    def in_flight(self, change: int) -> None:
        """Records went to the engine or came back."""
        self._in_flight.add(change)

    def verdict(self, verdict: Verdict, age_seconds: float) -> None:
        """A verdict is durable."""
        for task in Task:
            label = getattr(verdict, task).label
            self._verdicts.add(1, {"task": task.value, "label": label or "none"})
        self._tokens.add(verdict.usage.prompt_tokens, {"type": "input"})
        self._tokens.add(verdict.usage.completion_tokens, {"type": "output"})
        self._age.record(max(age_seconds, 0.0))

    def dead_letter(self, stage: str, error: str) -> None:
        """A dead letter is on its way."""
        self._dead_letters.add(1, {"stage": stage, "error.type": error})

    def tombstone(self) -> None:
        """A null value was skipped."""
        self._tombstones.add(1)

    def process(self, record: Record) -> AbstractContextManager[trace.Span]:
        """The span of one record, in the trace of whoever produced it."""
        carrier = {
            name: value.decode("utf-8", "replace")
            for name, value in record.headers
            if name in ("traceparent", "tracestate", "baggage") and value
        }
        parent = propagate.extract(carrier)
        return self._tracer.start_as_current_span(
            f"process {record.partition.topic}",
            context=parent,
            kind=trace.SpanKind.CONSUMER,
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.type": "process",
                "messaging.destination.name": record.partition.topic,
                "messaging.destination.partition.id": str(record.partition.number),
                "messaging.consumer.group.name": self._group,
                "messaging.kafka.offset": record.offset,
            },
        )

    def trace_context(self) -> Mapping[str, str]:
        """The current span's context, to be carried on."""
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        return carrier


def trace_headers(context: Mapping[str, str]) -> Headers:
    """A trace context as record headers."""
    return tuple((name, value.encode()) for name, value in context.items())
