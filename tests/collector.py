"""An OpenTelemetry collector for tests: takes OTLP over HTTP and keeps what it was told."""

import asyncio
import gzip
import zlib
from collections import defaultdict
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Mood = Literal["well", "refusing", "hanging"]


class Collector:
    """Listens on loopback while its context lasts.

    Attributes:
        spans: by name.
        metrics: the last points of each metric, by name.
    """

    def __init__(self, mood: Mood = "well") -> None:
        self._mood = mood
        self.spans: defaultdict[str, list[Span]] = defaultdict(list)
        self.metrics: dict[str, Any] = {}
        self.calls = 0
        self.endpoint = ""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/traces", self._traces)
        app.router.add_post("/v1/metrics", self._metrics)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.endpoint = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    def trace(self, trace_id: int) -> list[Span]:
        """All spans of a trace, in the order of their start."""
        found = [
            span
            for spans in self.spans.values()
            for span in spans
            if int.from_bytes(span.trace_id) == trace_id
        ]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    async def _traces(self, request: web.Request) -> web.Response:
        told = ExportTraceServiceRequest.FromString(await self._body(request))
        for resource in told.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans[span.name].append(span)
        return web.Response()

    async def _metrics(self, request: web.Request) -> web.Response:
        told = ExportMetricsServiceRequest.FromString(await self._body(request))
        for resource in told.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self.metrics[metric.name] = metric
        return web.Response()

    async def _body(self, request: web.Request) -> bytes:
        self.calls += 1
        if self._mood == "refusing":
            raise web.HTTPServiceUnavailable
        if self._mood == "hanging":
            await asyncio.sleep(3600)
        body = await request.read()
        match request.headers.get("Content-Encoding"):
            case "gzip":
                return gzip.decompress(body)
            case "deflate":
                return zlib.decompress(body)
            case _:
                return body


def attributes(told: Any) -> dict[str, Any]:
    """The attributes of a span or point as values."""
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in told.attributes
    }
