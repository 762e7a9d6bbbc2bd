"""The composition root: builds a worker from settings, runs it and stops it."""

import asyncio
import logging
import signal
from collections import Counter
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from worker import __version__
from worker.adapters.clock import SystemClock
from worker.adapters.kafka.connection import describe_topics
from worker.adapters.kafka.source import KafkaSource
from worker.domain.outcomes import Destinations
from worker.domain.records import Partition
from worker.engine.circuit_breaker import BreakerPolicy
from worker.flow.admission import AdmissionPolicy
from worker.flow.batching import BatchPolicy
from worker.flow.bounded_source import BoundedSource
from worker.flow.partition_queues import QueueBounds
from worker.flow.pipeline import FlowPolicy, Pipeline
from worker.policy.shapes.choice import decision_shape
from worker.runtime.broker_wait import wait_for_brokers
from worker.runtime.build import Judging, build_delivery, build_judging, count_devices
from worker.runtime.connection import build_connection
from worker.runtime.exporters import Exporters
from worker.runtime.health import HealthServer, Probes, Report
from worker.runtime.policies import build_deciding
from worker.runtime.settings import Settings
from worker.telemetry import names

if TYPE_CHECKING:
    from worker.domain.ports import Source

logger = logging.getLogger(__name__)


class Worker:
    """A worker that is built but not running.

    Args:
        judging: an engine that the caller started and stops, for example to share it between
            workers.
        ends: the first offset of each partition that is not judged, in a bounded run.
    """

    def __init__(
        self,
        settings: Settings,
        judging: Judging | None = None,
        ends: Mapping[Partition, int] | None = None,
    ) -> None:
        self._settings = settings
        self._owns_engine = judging is None
        self._judging = judging or build_judging(settings)
        self._telemetry = telemetry = self._judging.exporters.telemetry
        self._stopping = asyncio.Event()
        self._waits_for: str | None = None
        self.connection = connection = build_connection(settings)
        output = settings.output
        source = KafkaSource(
            connection,
            topics=settings.input.topics,
            group_id=settings.input.group_id,
            isolation_level=settings.input.isolation_level,
            start_from=settings.input.start_from,
            on_offset_lost=settings.input.on_offset_lost,
            group_instance_id=settings.input.group_instance_id,
            session_timeout_seconds=settings.input.session_timeout_seconds,
            rebalance_timeout_seconds=max(60.0, 2 * settings.shutdown.drain_seconds),
        )
        self._source: Source = BoundedSource(source, ends) if ends else source
        clock = SystemClock()
        self._delivery = build_delivery(settings, connection, self._source, telemetry)
        self._pipeline = Pipeline(
            source=self._source,
            delivery=self._delivery,
            judge=self._judging.judge,
            policy=FlowPolicy(
                AdmissionPolicy(self._judging.in_flight_limit),
                QueueBounds(
                    settings.input.queued_records_per_partition,
                    settings.input.queued_bytes_per_partition,
                    settings.input.queued_bytes,
                    settings.input.unsettled_records_per_partition,
                ),
                BatchPolicy(
                    settings.batch.max_records,
                    settings.batch.max_tokens,
                    settings.batch.linger_seconds,
                ),
                BreakerPolicy(**settings.breaker.model_dump()),
                commit_interval_seconds=settings.delivery.commit_interval_seconds,
                drain_seconds=settings.shutdown.drain_seconds,
                stuck_seconds=settings.health.stuck_seconds,
                devices=count_devices(settings),
            ),
            destinations=Destinations(
                output.verdict_topic,
                output.dead_letter_topic,
                settings.input.group_id,
                self._delivery.max_bytes,
                output.cloudevents,
                output.decision_topic,
                decision_shape(output.decision_shape, coop_item_type=output.coop_item_type),
            ),
            telemetry=telemetry,
            clock=clock,
            deciding=build_deciding(settings, telemetry, clock),
        )
        self._enter("loading")
        telemetry.watch(names.READY, lambda: not self._ready().reasons)

    @property
    def outcomes(self) -> Counter[str]:
        """The number of verdicts, dead letters and tombstones so far."""
        return self._pipeline.outcomes

    @property
    def exporters(self) -> Exporters:
        """The exporters of its telemetry."""
        return self._judging.exporters

    @property
    def settled(self) -> int:
        """The number of durable outcomes."""
        return self._delivery.settled

    @property
    def held(self) -> int:
        """The number of partitions that it has taken over."""
        return self._pipeline.held

    def stop(self) -> None:
        """Stop gracefully: drain, settle, leave the group."""
        self._stopping.set()
        self._enter("stopping")
        self._pipeline.stop()

    async def run(self) -> None:
        """Run until stopped.

        Raises:
            Fatal: an error stopped the worker.
        """
        health = self._health()
        try:
            if health is not None:
                await health.start()
            # Kafka first: its errors show in seconds, loading the model takes minutes
            if not await self._reach_brokers():
                return
            await self._delivery.start()
            if self._owns_engine:
                await self._judging.start()
            self._report_info()
            # they may have become unreachable while the model was loaded
            if await self._reach_brokers():
                self._enter("running")
                await self._pipeline.run()
        finally:
            self._enter("stopping")
            await self._delivery.stop()
            await self._source.stop()
            if self._owns_engine:
                await self._judging.stop()
            if health is not None:
                await health.stop()

    async def _reach_brokers(self) -> bool:
        """Wait until a broker answers; False if the worker was stopped first."""

        def report(reason: str | None) -> None:
            self._waits_for = reason

        return await wait_for_brokers(
            lambda: describe_topics(self.connection, []),
            stopping=self._stopping,
            timeout_seconds=self._settings.kafka.connect_timeout_seconds,
            report=report,
            clock=SystemClock(),
        )

    def _enter(self, state: str) -> None:
        self._state = state
        self._telemetry.state(state)

    def _report_info(self) -> None:
        engine = self._judging.engine.reference
        self._telemetry.info(
            version=__version__,
            guard=self._judging.guard.name,
            model=self._settings.engine.model,
            engine=f"{engine.name} {engine.version}",
            guarantee=self._settings.delivery.guarantee,
            group=self._settings.input.group_id,
        )

    def _live(self) -> Report:
        dead = self._judging.engine.is_dead
        return Report(self._state, ["The engine died."] if dead else [])

    def _ready(self) -> Report:
        if self._waits_for is not None:
            return Report(self._state, [self._waits_for])
        match self._state:
            case "running":
                judging = self._judging
                found = (judging.engine.trouble, judging.judge.trouble(), self._pipeline.trouble())
                return Report(self._state, [reason for reason in found if reason])
            case "loading":
                return Report(self._state, ["The model is being loaded."])
            case _:
                return Report(self._state, ["The worker is stopping."])

    def _started(self) -> Report:
        # a failing startup probe would restart a worker that only waits for Kafka
        loading = self._state == "loading" and self._waits_for is None
        return Report(self._state, ["The model is being loaded."] if loading else [])

    def _health(self) -> HealthServer | None:
        chosen = self._settings.health
        if not chosen.port:
            return None
        probes = Probes(
            live=self._live,
            ready=self._ready,
            started=self._started,
            recent=self._telemetry.recent,
            registries=self._judging.exporters.registries,
        )
        return HealthServer(chosen.host, chosen.port, probes)


async def run_until_signalled(
    worker: Worker, running: Coroutine[Any, Any, None] | None = None
) -> None:
    """Run until SIGTERM or SIGINT, which drains; a second signal aborts.

    `running` runs the worker, where more than `Worker.run` is wanted.
    """
    worker.exporters.install()
    loop = asyncio.get_running_loop()
    work = asyncio.ensure_future(worker.run() if running is None else running)
    signals = 0

    def signalled() -> None:
        nonlocal signals
        signals += 1
        if signals == 1:
            logger.info("Stopping: finishing what is in flight. A second signal aborts it.")
            worker.stop()
        else:
            work.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    try:
        await work
    except asyncio.CancelledError:
        logger.warning("Aborted; what was in flight will be judged again.")
