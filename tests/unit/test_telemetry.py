"""What is told of a record's way: spans that hang together, metrics that count, no text."""

import orjson
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import SpanKind
from prometheus_client import generate_latest

from tests.unit.harness import WorkerHarness
from worker.domain.engines import EngineRequest
from worker.domain.events import Exchange
from worker.domain.prompts import Prompt
from worker.engine.circuit_breaker import BreakerPolicy
from worker.operator.top.recent import read_recent
from worker.telemetry import names
from worker.telemetry.tracing import Tracing, carried

PRODUCER = 0xABCDEF, 0x123456
TRACEPARENT = b"00-%032x-%016x-01" % PRODUCER
PRIVATE = "how to bake bread at midnight"


class Traced:
    """A worker whose spans are kept."""

    def __init__(self, guarantee, **options):
        self._kept = InMemorySpanExporter()
        provider = TracerProvider(sampler=ParentBased(ALWAYS_ON))
        provider.add_span_processor(SimpleSpanProcessor(self._kept))
        tracer = provider.get_tracer("t")
        tracing = Tracing(tracer, group="group", model="m", **options)
        self.harness = WorkerHarness(guarantee, tracing=tracing)

    async def judge(self, *values, traceparent=TRACEPARENT, count=None):
        headers = (("traceparent", traceparent),) if traceparent else ()
        for value in values:
            self.harness.bus.append("events", value=value, headers=headers)
        async with self.harness.running():
            await self.harness.until(
                lambda: self.harness.delivery.settled >= (len(values) if count is None else count)
            )

    def spans(self, start):
        return [s for s in self._kept.get_finished_spans() if s.name.startswith(start)]


def event(prompt=PRIVATE, **fields):
    return orjson.dumps({"id": "1", "prompt": prompt} | fields)


both_guarantees = pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])


@both_guarantees
async def test_one_trace_from_producer_to_verdict(guarantee):
    traced = Traced(guarantee)
    await traced.judge(event())
    (process,), (chat,), (send,) = (traced.spans(name) for name in ("process", "chat", "send"))
    assert (process.context.trace_id, process.parent.span_id) == PRODUCER
    assert (process.name, process.kind) == ("process events", SpanKind.CONSUMER)
    assert (chat.name, chat.kind) == ("chat m", SpanKind.CLIENT)
    assert (send.name, send.kind) == ("send verdicts", SpanKind.PRODUCER)
    assert chat.parent.span_id == send.parent.span_id == process.context.span_id
    (verdict,) = traced.harness.bus.topic("verdicts")
    assert dict(verdict.headers)["traceparent"] == b"00-%032x-%016x-01" % (
        PRODUCER[0],
        send.context.span_id,
    )
    # the chat's context is what the engine is given
    assert traced.harness.engine.traces == [
        {"traceparent": f"00-{PRODUCER[0]:032x}-{chat.context.span_id:016x}-01"}
    ]
    assert process.attributes["messaging.destination.partition.id"] == "0"
    assert process.attributes["messaging.kafka.offset"] == 0
    assert chat.attributes["gen_ai.usage.input_tokens"] > 0


@pytest.mark.parametrize(("max_tokens", "temperature"), [(None, 0.0), (4, 0.7)])
async def test_a_completions_span_has_the_parameters_of_its_request(max_tokens, temperature):
    traced = Traced("at_least_once")
    request = EngineRequest(Prompt(("a",)), max_tokens=max_tokens, temperature=temperature)
    with traced.harness.telemetry.chat(Exchange("a", None), request, "e"):
        pass
    (chat,) = traced.spans("chat")
    assert chat.attributes.get("gen_ai.request.max_tokens") == max_tokens
    assert chat.attributes["gen_ai.request.temperature"] == temperature


async def test_polls_and_batches_link_to_where_records_were_produced():
    traced = Traced("at_least_once")
    await traced.judge(event(), event())
    for name in ("poll events", "batch"):
        spans = traced.spans(name)
        links = [(link.context.trace_id, link.context.span_id) for s in spans for link in s.links]
        assert links == [PRODUCER] * 2
        assert sum(s.attributes["messaging.batch.message_count"] for s in spans) == 2
    (commit,) = traced.spans("commit")[:1]
    assert commit.attributes["messaging.operation.type"] == "settle"


async def test_a_failed_record_is_told_by_its_errors_name_alone():
    traced = Traced("at_least_once")
    await traced.judge(b"{ " + PRIVATE.encode())
    (process,), (send,) = traced.spans("process"), traced.spans("send")
    assert process.attributes["error.type"] == "NotAnEvent"
    assert not process.status.is_ok
    assert send.name == "send dead"
    assert not process.events
    assert PRIVATE not in str([span.to_json() for span in traced.spans("")])


@pytest.mark.parametrize("content_characters", [0, 8])
async def test_no_text_unless_a_setting_says_so_and_then_cut(content_characters):
    traced = Traced("at_least_once", content_characters=content_characters)
    await traced.judge(event(response=PRIVATE))
    told = str([span.to_json() for span in traced.spans("")])
    assert PRIVATE not in told
    assert (PRIVATE[:8] in told) == bool(content_characters)
    assert PRIVATE[:9] not in told


async def test_a_producer_who_does_not_sample_is_respected():
    traced = Traced("at_least_once")
    unsampled = TRACEPARENT[:-2] + b"00"
    await traced.judge(event(), traceparent=unsampled)
    assert not traced.spans("process")
    assert not traced.spans("chat")
    (verdict,) = traced.harness.bus.topic("verdicts")
    header = dict(verdict.headers)["traceparent"]
    assert header[:35] == unsampled[:35]
    assert header[-2:] == b"00"


async def test_where_nothing_is_recorded_the_context_is_carried_on():
    harness = WorkerHarness("at_least_once")
    headers = (("traceparent", TRACEPARENT), ("tracestate", b"a=b"), ("x", b"y"))
    harness.bus.append("events", value=event(), headers=headers)
    async with harness.running():
        await harness.until(lambda: harness.delivery.settled == 1)
    (verdict,) = harness.bus.topic("verdicts")
    found = dict(verdict.headers)
    assert (found["traceparent"], found["tracestate"]) == (TRACEPARENT, b"a=b")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"00-x",
        TRACEPARENT + b"\n",
        TRACEPARENT.upper(),
        b"\xff" * 55,
        b"00-" + b"0" * 32 + TRACEPARENT[35:],
        TRACEPARENT[:36] + b"0" * 16 + b"-01",
        b"ff" + TRACEPARENT[2:],
    ],
)
def test_what_is_no_context_is_not_carried(header):
    assert carried((("traceparent", header), ("tracestate", b"a=b"))) == ()
    endless = b"a=" + b"b" * 10_000
    assert carried((("traceparent", TRACEPARENT), ("baggage", endless))) == (
        ("traceparent", TRACEPARENT),
    )


BAGGAGE = ("baggage", b"tenant=t1, region = eu;sampled=1")


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("traced", [True, False])
async def test_baggage_is_carried_on_whether_spans_are_recorded_or_not(recorded, traced):
    harness = Traced("at_least_once").harness if recorded else WorkerHarness("at_least_once")
    headers = (BAGGAGE, ("traceparent", TRACEPARENT)) if traced else (BAGGAGE,)
    harness.bus.append("events", value=event(), headers=headers)
    async with harness.running():
        await harness.until(lambda: harness.delivery.settled == 1)
    (verdict,) = harness.bus.topic("verdicts")
    assert [header for header in verdict.headers if header[0] == "baggage"] == [BAGGAGE]


@pytest.mark.parametrize(
    "value", [b"", b"no pair", b"a=1,,b=2", b"=1", b"a=\n", b"a=\xff", b",".join([b"a=1"] * 181)]
)
def test_baggage_that_is_none_is_not_carried(value):
    assert carried((("traceparent", TRACEPARENT), ("baggage", value))) == (
        ("traceparent", TRACEPARENT),
    )


def scraped(harness):
    lines = generate_latest(harness.telemetry.registry).decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


@both_guarantees
async def test_metrics_count_what_became_durable(guarantee):
    harness = WorkerHarness(guarantee)
    harness.send(5)
    harness.bus.append("events", value=b"nonsense")
    harness.bus.append("events", value=None, key=b"k")
    async with harness.running():
        await harness.until(lambda: harness.delivery.settled == 7)
        lag = 'guardstream_lag_records{partition="0",topic="events"}'
        await harness.until(lambda: scraped(harness)[lag] == "0.0")
    found = scraped(harness)
    assert found['guardstream_outcomes_total{outcome="verdict"}'] == "5.0"
    assert found['guardstream_outcomes_total{outcome="dead_letter"}'] == "1.0"
    assert found['guardstream_outcomes_total{outcome="tombstone"}'] == "1.0"
    assert found['guardstream_dead_letters_total{error_type="NotAnEvent",stage="decode"}'] == "1.0"
    assert found['messaging_client_sent_messages_total{messaging_destination_name="dead"}'] == "1.0"
    assert found['guardstream_stage_duration_seconds_count{stage="queue"}'] == "7.0"
    assert found['guardstream_stage_duration_seconds_count{stage="publish"}'] == "7.0"
    assert found['guardstream_stage_duration_seconds_count{stage="judge"}'] == "5.0"
    assert found["guardstream_verdict_age_seconds_count"] == "5.0"
    assert found["guardstream_in_flight"] == "0.0"
    labels = [v for k, v in found.items() if "verdicts_total" in k and "prompt_harm" in k]
    assert sum(map(float, labels)) == 5
    # no id and no text of anybody has become a label
    assert "hello" not in "".join(found)


async def test_an_open_breaker_shows():
    harness = WorkerHarness("at_least_once", breaker=BreakerPolicy(max_failed_run=2))
    harness.engine.failing = True
    harness.send(5)
    async with harness.running():
        await harness.until(lambda: "fails" in (harness.pipeline.trouble() or ""))
        assert scraped(harness)["guardstream_breaker_open"] == "1.0"
        harness.engine.failing = False
        await harness.until(lambda: harness.delivery.settled == 5)
        assert scraped(harness)["guardstream_breaker_open"] == "0.0"


async def test_a_lost_partition_leaves_no_series_behind():
    harness = WorkerHarness("at_least_once")
    series = 'guardstream_lag_records{partition="0",topic="events"}'
    harness.send(1)
    async with harness.running():
        await harness.until(lambda: series in scraped(harness))
        await harness.source.revoke(list(harness.source._positions), lost=True)
        await harness.until(lambda: series not in scraped(harness))
        assert scraped(harness)['guardstream_rebalances_total{change="lost"}'] == "1.0"


async def test_the_last_verdicts_are_told_without_text():
    harness = WorkerHarness("at_least_once")
    for _ in range(60):
        harness.bus.append("events", value=event(), headers=(("traceparent", TRACEPARENT),))
    async with harness.running():
        await harness.until(lambda: harness.delivery.settled == 60)
    recent = harness.telemetry.recent()
    assert len(recent) == 50
    assert recent[0]["trace_id"] == f"{PRODUCER[0]:032x}"
    assert PRIVATE not in orjson.dumps(recent).decode()
    # `guardstream top` reads every one of them
    assert len(read_recent(orjson.dumps(recent))) == 50


def test_every_name_is_unlike_the_others_and_bounded():
    series = [name for metric in names.METRICS for name in metric.series]
    assert len(series) == len(set(series))
    for metric in names.METRICS:
        assert not {"event_id", "key", "user", "tenant", "offset"} & set(metric.attributes)
