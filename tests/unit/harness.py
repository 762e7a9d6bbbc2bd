"""A whole worker on a bus in memory, with a clock whose sleeps return at once."""

import asyncio
import math
from contextlib import asynccontextmanager

import orjson

from tests.unit.clocks import QuickClock, turns
from tests.unit.judges import build_judge
from worker.adapters.memory import MemoryBus, MemoryPublisher, MemorySource, MemoryTransactions
from worker.adapters.simulated import Behaviour, SimulatedEngine
from worker.delivery.at_least_once import AtLeastOnce
from worker.delivery.exactly_once import ExactlyOnce
from worker.delivery.transaction_pace import TransactionPolicy
from worker.domain.errors import EngineDead, Retriable
from worker.domain.outcomes import Destinations
from worker.domain.questions import STANDARD_QUESTIONS
from worker.domain.records import Partition
from worker.engine.circuit_breaker import BreakerPolicy
from worker.flow.admission import AdmissionPolicy
from worker.flow.batching import BatchPolicy
from worker.flow.deciding import Deciding
from worker.flow.partition_queues import QueueBounds
from worker.flow.pipeline import FlowPolicy, Pipeline
from worker.telemetry import Telemetry

INPUT = Partition("events", 0)


class GatedEngine(SimulatedEngine):
    """Answers a prompt only when the gate is open."""

    def __init__(self, clock):
        super().__init__(behaviour=Behaviour(), clock=clock, max_num_seqs=4)
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = 0
        self.most = 0
        self.dead = False
        self.failing = False
        self.traces = []

    async def complete(self, request, prompt_token_ids, *, request_id, trace):
        self.traces.append(dict(trace))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
            if self.dead:
                raise EngineDead("The engine died.")
            if self.failing:
                raise Retriable("The engine fails.")
            return await super().complete(
                request, prompt_token_ids, request_id=request_id, trace=trace
            )
        finally:
            self.running -= 1


class WorkerHarness:
    def __init__(
        self,
        guarantee,
        *,
        drain_seconds=5.0,
        commit_interval_seconds=1.0,
        linger_seconds=0.0,
        outbox_bytes=64 << 20,
        breaker=None,
        bus=None,
        tracing=None,
        framing="none",
        cloudevents=False,
        tokenizer=None,
        guard=None,
        decoder=None,
        source=None,
        policy=None,
        shadow=None,
        shape=None,
        **queue_bounds,
    ):
        self.clock = clock = QuickClock()
        self._running = None
        self.guarantee = guarantee
        self.bus = bus or MemoryBus()
        self.source = source or MemorySource(self.bus, ["events"])
        self.publisher = MemoryPublisher(self.bus)
        self.transactions = MemoryTransactions(self.bus)
        self.engine = GatedEngine(clock)
        self.telemetry = telemetry = Telemetry(
            clock, tracing=tracing, questions=guard.questions if guard else STANDARD_QUESTIONS
        )
        if guarantee == "at_least_once":
            delivery = AtLeastOnce(
                source=self.source, publisher=self.publisher, clock=clock, telemetry=telemetry
            )
        else:
            delivery = ExactlyOnce(
                source=self.source,
                transactions=self.transactions,
                clock=clock,
                telemetry=telemetry,
                group_id="group",
                policy=TransactionPolicy(8, interval_seconds=0.0, per_second=math.inf),
            )
        self.judge = judge = build_judge(
            self.engine,
            clock,
            guard=guard,
            tokenizer=tokenizer,
            telemetry=telemetry,
            framing=framing,
            decoder=decoder,
        )
        self.delivery = delivery
        self.pipeline = Pipeline(
            source=self.source,
            delivery=delivery,
            judge=judge,
            policy=FlowPolicy(
                AdmissionPolicy(6, outbox_bytes),
                QueueBounds(**queue_bounds),
                BatchPolicy(2, 1000, linger_seconds),
                breaker or BreakerPolicy(),
                commit_interval_seconds=commit_interval_seconds,
                drain_seconds=drain_seconds,
            ),
            destinations=Destinations(
                "verdicts", "dead", "group", delivery.max_bytes, cloudevents, "decisions", shape
            ),
            telemetry=telemetry,
            clock=clock,
            deciding=Deciding(telemetry, clock, policy, shadow),
        )

    def refuse(self, times):
        self.publisher.fail_next = self.transactions.fail_next = times

    def slow_down(self, turns):
        self.transactions.slowness = turns

    def hold(self):
        """Let no prompt be answered, until `release`."""
        self.engine.gate.clear()

    def release(self):
        self.engine.gate.set()

    def doubt(self, times):
        self.publisher.doubt_next = self.transactions.doubt_next = times

    def send(self, count, start=0):
        for n in range(start, start + count):
            self.bus.append("events", value=orjson.dumps({"id": str(n), "prompt": "hello"}))

    async def until(self, condition):
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0)
                if self._running is not None and self._running.done():
                    await self._running  # what ended it says more than a timeout

    @asynccontextmanager
    async def running(self):
        """The worker runs inside the block, is asked to stop at its end, and is waited for."""
        self._running = running = asyncio.create_task(self.pipeline.run())
        yield
        self.pipeline.stop()
        await running

    async def idle(self):
        """Let all that can run do so; only where something must not happen meanwhile."""
        await turns(50)

    def judged_offsets(self):
        return [
            (where["partition"], where["offset"])
            for record in self.bus.topic("verdicts")
            for where in [orjson.loads(record.value)["source"]]
        ]

    def judged(self):
        return [orjson.loads(record.value)["event_id"] for record in self.bus.topic("verdicts")]
