"""The exporters of telemetry: registries to scrape, and pushes to a collector if configured."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import prometheus_client

from worker import __version__
from worker.adapters.clock import SystemClock
from worker.domain.questions import Question
from worker.runtime.settings import Settings
from worker.telemetry import Telemetry
from worker.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from worker.adapters.otlp import MetricPush, SpanPush


class Exporters:
    """The telemetry of a worker and its exporters."""

    def __init__(
        self, settings: Settings, questions: Sequence[Question], codes: Sequence[str] = ()
    ) -> None:
        chosen = settings.telemetry
        # creation times are not needed, and would double the number of series
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._pushing: asyncio.Task[None] | None = None
        self._spans: SpanPush | None = None
        self._metrics: MetricPush | None = None
        if chosen.otlp_endpoint:
            # half a second of CPU, which a worker without a collector need not spend
            from worker.adapters import otlp  # noqa: PLC0415

            resource = otlp.build_resource(__version__)
            self._spans = otlp.SpanPush(
                chosen.otlp_endpoint, sampled_share=chosen.sampled_share, resource=resource
            )
        tracing = Tracing(
            self._spans.tracer if self._spans else None,
            group=settings.input.group_id,
            model=settings.engine.model,
            content_characters=chosen.content_characters,
        )
        self.telemetry = Telemetry(SystemClock(), tracing=tracing, questions=questions, codes=codes)
        # the metrics of vLLM are in the default registry of prometheus_client
        self.registries = (self.telemetry.registry, prometheus_client.REGISTRY)
        if chosen.otlp_endpoint:
            self._metrics = otlp.MetricPush(
                chosen.otlp_endpoint,
                self.registries,
                resource=resource,
                interval_seconds=chosen.push_seconds,
            )

    def install(self) -> None:
        """Install the global tracer provider, once: the spans of vLLM are then exported too."""
        if self._spans is not None:
            self._spans.install()

    def start(self) -> None:
        """Start pushing."""
        if self._metrics is not None:
            self._pushing = asyncio.create_task(self._metrics.run(), name="push metrics")

    async def stop(self) -> None:
        """Push the remaining data, within a bounded time."""
        if self._pushing is not None:
            self._pushing.cancel()
            await asyncio.gather(self._pushing, return_exceptions=True)
        pushes = [push.stop() for push in (self._spans, self._metrics) if push is not None]
        await asyncio.gather(*pushes)
