"""Pushes spans and metrics to an OpenTelemetry collector, OTLP over HTTP.

Exports never delay a worker: spans wait in a bounded queue, which drops the oldest, and are sent in
a separate thread; metrics are collected in the event loop, which takes milliseconds, and sent in a
thread. While a collector is down, its data is lost.

The metrics are those of prometheus_client's registries, vLLM's included, in OpenTelemetry's data
model: `worker.telemetry.instruments` explains why the SDK does not record them.
"""

import asyncio
import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

from worker.telemetry import names

# a warning per dropped span takes longer than the span did; the exporter reports failures itself
logging.getLogger("opentelemetry.sdk._shared_internal").setLevel(logging.ERROR)

_REQUEST_SECONDS = 5.0
_STOP_SECONDS = 3.0


class SpanPush:
    """Sends the spans of its `tracer`.

    Args:
        endpoint: the collector's base URL.
        sampled_share: of traces that start here; the sampling decision of a producer is kept.
    """

    def __init__(self, endpoint: str, *, sampled_share: float, resource: Resource) -> None:
        self._exporter = OTLPSpanExporter(traces_url(endpoint), timeout=_REQUEST_SECONDS)
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sampled_share)),
            resource=resource,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self.tracer = self._provider.get_tracer("guardstream")

    def install(self) -> None:
        """Become the global tracer provider of this process."""
        trace.set_tracer_provider(self._provider)

    async def stop(self) -> None:
        """Send the queued spans, within a bounded time."""
        sending = asyncio.ensure_future(asyncio.to_thread(self._provider.shutdown))
        await asyncio.wait([sending], timeout=_STOP_SECONDS)
        if not sending.done():
            # ends the backoff of retries to a collector that does not answer
            self._exporter.shutdown()  # type: ignore[no-untyped-call]
            await asyncio.wait([sending], timeout=_REQUEST_SECONDS)


class MetricPush:
    """Sends all metrics at an interval while `run` is running, and a last time at the end."""

    def __init__(
        self,
        endpoint: str,
        registries: Sequence[CollectorRegistry],
        *,
        resource: Resource,
        interval_seconds: float,
    ) -> None:
        self._exporter = OTLPMetricExporter(
            f"{endpoint.rstrip('/')}/v1/metrics", timeout=_REQUEST_SECONDS
        )
        self._registries = tuple(registries)
        self._resource = resource
        self._interval_seconds = interval_seconds
        self._started_at = time.time_ns()

    async def run(self) -> None:
        """Push until cancelled."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self._push()

    async def stop(self) -> None:
        """Push the last values, within a bounded time."""
        last = asyncio.ensure_future(self._push())
        await asyncio.wait([last], timeout=_STOP_SECONDS)
        self._exporter.shutdown()
        await asyncio.wait([last], timeout=_REQUEST_SECONDS)

    async def _push(self) -> None:
        metrics = [
            metric
            for registry in self._registries
            for family in registry.collect()
            if (metric := _metric(family, self._started_at, time.time_ns())) is not None
        ]
        scope = ScopeMetrics(InstrumentationScope("guardstream"), metrics, "")
        data = MetricsData([ResourceMetrics(self._resource, [scope], "")])
        await asyncio.to_thread(self._exporter.export, data)


def traces_url(endpoint: str) -> str:
    """The URL for spans of a collector with this base URL."""
    return f"{endpoint.rstrip('/')}/v1/traces"


def build_resource(version: str) -> Resource:
    """The resource; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override its name."""
    found = Resource.create({"service.version": version})
    if str(found.attributes["service.name"]).startswith("unknown_service"):
        found = found.merge(Resource({"service.name": "guardstream"}))
    return found


_BY_BASE = {metric.base: metric for metric in names.METRICS}


def _metric(family: Family, started_at: int, now: int) -> Metric | None:
    """A family in the data model of OpenTelemetry, by its OpenTelemetry name if it has one."""
    data: Sum | Gauge | Histogram
    match family.type:
        case "counter":
            found = [s for s in family.samples if s.name.endswith("_total")]
            points = [_number(s, started_at, now, family) for s in found]
            data = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
        case "histogram":
            data = Histogram(
                _distributions(family, started_at, now), AggregationTemporality.CUMULATIVE
            )
        case "gauge" | "unknown":
            data = Gauge([_number(s, started_at, now, family) for s in family.samples])
        case _:
            return None
    ours = _BY_BASE.get(family.name)
    if ours is None:
        return Metric(family.name, family.documentation, family.unit, data)
    return Metric(ours.name, ours.description, ours.unit, data)


def _number(sample: Sample, started_at: int, now: int, family: Family) -> NumberDataPoint:
    return NumberDataPoint(_attributes(family.name, sample.labels), started_at, now, sample.value)


@dataclass(slots=True)
class _Buckets:
    bounds: list[float] = field(default_factory=list)
    cumulated: list[int] = field(default_factory=list)
    sum: float = 0.0


def _distributions(family: Family, started_at: int, now: int) -> list[HistogramDataPoint]:
    found: dict[frozenset[tuple[str, str]], _Buckets] = {}
    for sample in family.samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        buckets = found.setdefault(frozenset(labels.items()), _Buckets())
        if sample.name.endswith("_bucket"):
            buckets.bounds.append(float(sample.labels["le"]))
            buckets.cumulated.append(int(sample.value))
        elif sample.name.endswith("_sum"):
            buckets.sum = sample.value
    return [
        HistogramDataPoint(
            attributes=_attributes(family.name, dict(labels)),
            start_time_unix_nano=started_at,
            time_unix_nano=now,
            count=buckets.cumulated[-1],
            sum=buckets.sum,
            bucket_counts=list(_differences(buckets.cumulated)),
            explicit_bounds=[bound for bound in buckets.bounds if bound != math.inf],
            # not recorded by prometheus_client; None leaves them out
            min=None,  # type: ignore[arg-type]
            max=None,  # type: ignore[arg-type]
        )
        for labels, buckets in found.items()
        if buckets.cumulated
    ]


def _differences(cumulated: Iterable[int]) -> Iterable[int]:
    before = 0
    for count in cumulated:
        yield count - before
        before = count


def _attributes(base: str, labels: Mapping[str, str]) -> dict[str, str]:
    ours = _BY_BASE.get(base)
    if ours is None:
        return dict(labels)
    written = dict(zip(ours.labels, ours.attributes, strict=True))
    return {written[label]: value for label, value in labels.items()}
