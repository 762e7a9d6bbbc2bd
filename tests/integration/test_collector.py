"""Spans and metrics at a collector that speaks OTLP, and what its troubles do to a worker."""

import asyncio

import pytest
from opentelemetry import propagate
from opentelemetry.sdk.trace import TracerProvider

from tests.collector import Collector, attributes
from tests.integration.harness import both_guarantees, event, produce, read, until
from worker.adapters.kafka.reader import committed_offsets
from worker.demo.kafka.broker import free_ports
from worker.domain.records import OutgoingRecord
from worker.runtime.worker import Worker
from worker.telemetry import names

pytestmark = pytest.mark.integration


def told(settings, endpoint):
    """These settings, with a collector."""
    telemetry = settings.telemetry.model_copy(
        update={"otlp_endpoint": endpoint, "push_seconds": 0.5}
    )
    return settings.model_copy(update={"telemetry": telemetry})


async def work_through(settings, count):
    """Let a worker reach so many outcomes and stop."""
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: sum(worker.outcomes.values()) >= count or running.done())
    worker.stop()
    async with asyncio.timeout(60):
        await running
    return worker


@both_guarantees
async def test_one_trace_from_producer_to_consumer(kafka_settings, connection):
    settings = await kafka_settings()
    topic = settings.input.topics[0]
    tracer = TracerProvider().get_tracer("a chat platform")
    with tracer.start_as_current_span("publish") as produced:
        carrier = {}
        propagate.inject(carrier)
    headers = tuple((name, value.encode()) for name, value in carrier.items())
    sent = event(topic, "1")
    await produce(connection, topic, [OutgoingRecord(topic, sent.key, sent.value, headers)])
    async with Collector() as collector:
        await work_through(told(settings, collector.endpoint), 1)
        (verdict,) = await read(connection, [settings.output.verdict_topic], 1)

        trace_id = produced.get_span_context().trace_id
        found = {span.name: span for span in collector.trace(trace_id)}
        process = found[f"process {topic}"]
        chat = found[f"chat {settings.engine.model}"]
        send = found[f"send {settings.output.verdict_topic}"]
        assert len(found) == 3
        assert int.from_bytes(process.parent_span_id) == produced.get_span_context().span_id
        assert chat.parent_span_id == send.parent_span_id == process.span_id
        # who consumes the verdict goes on from the span that sent it
        consumer = propagate.extract({n: v.decode() for n, v in verdict.headers})
        with tracer.start_as_current_span("consume", context=consumer) as consumed:
            assert consumed.get_span_context().trace_id == trace_id
            assert consumed.parent.span_id == int.from_bytes(send.span_id)

        assert process.start_time_unix_nano <= chat.start_time_unix_nano
        assert chat.end_time_unix_nano <= send.end_time_unix_nano
        assert attributes(process)["messaging.consumer.group.name"] == settings.input.group_id
        (commit,) = [
            s for n, spans in collector.spans.items() if n.startswith("commit") for s in spans
        ][:1]
        assert attributes(commit)["messaging.operation.type"] == "settle"
        (poll,) = collector.spans[f"poll {topic}"]
        assert [int.from_bytes(link.trace_id) for link in poll.links] == [trace_id]


async def test_all_metrics_are_pushed_under_their_own_names(kafka_settings, connection):
    settings = await kafka_settings()
    topic = settings.input.topics[0]
    await produce(connection, topic, [event(topic, str(n)) for n in range(50)])
    async with Collector() as collector:
        await work_through(told(settings, collector.endpoint), 50)
    missing = {metric.name for metric in names.METRICS} - set(collector.metrics)
    assert not missing
    outcomes = {
        attributes(point)["outcome"]: point.as_double
        for point in collector.metrics["guardstream.outcomes"].sum.data_points
    }
    assert outcomes == {"verdict": 50.0, "dead_letter": 0.0, "tombstone": 0.0, "skipped": 0.0}
    age = collector.metrics["guardstream.verdict.age"]
    (point,) = age.histogram.data_points
    assert age.unit == "s"
    assert point.count == sum(point.bucket_counts) == 50
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    consumed = collector.metrics["messaging.client.consumed.messages"].sum.data_points
    assert [attributes(p)["messaging.destination.name"] for p in consumed] == [topic]
    # what is in prometheus_client's own registry goes along, as vLLM's metrics do
    assert "process_resident_memory_bytes" in collector.metrics


@both_guarantees
@pytest.mark.parametrize("mood", ["down", "refusing", "hanging"])
async def test_a_collector_in_trouble_troubles_nobody(kafka_settings, connection, mood):
    settings = await kafka_settings(partitions=2)
    topic = settings.input.topics[0]
    count = 3000
    await produce(connection, topic, [event(topic, str(n)) for n in range(count)])
    async with Collector("refusing" if mood == "down" else mood) as collector:
        (closed,) = free_ports(1)
        endpoint = f"http://127.0.0.1:{closed}" if mood == "down" else collector.endpoint
        worker = await work_through(told(settings, endpoint), count)
        assert collector.calls or mood == "down"
    assert worker.outcomes == {"verdict": count}
    verdicts = await read(connection, [settings.output.verdict_topic], count)
    assert len({r.key for r in verdicts}) == count
    for where, committed, end in await committed_offsets(
        connection, topic, settings.input.group_id
    ):
        assert committed == end, where
