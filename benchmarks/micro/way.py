"""The full path of a record through the pipeline, with an in-memory bus and a ready engine."""

import asyncio
import itertools
from collections.abc import Mapping, Sequence

from benchmarks.micro.samples import PARTITIONS
from worker.adapters.clock import SystemClock
from worker.adapters.memory import MemoryBus, MemoryPublisher, MemorySource
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.decoding.decoder import EventDecoder
from worker.delivery.at_least_once import AtLeastOnce
from worker.domain.engines import Completion, Engine, EngineReference, EngineRequest, Usage
from worker.domain.outcomes import Destinations, Outcome
from worker.domain.records import Record
from worker.domain.verdicts import reference_to
from worker.engine.retry import RetryPolicy
from worker.engine.supervisor import SupervisedEngine, SupervisionPolicy
from worker.flow.admission import AdmissionPolicy
from worker.flow.asking import Asker, AskingPolicy
from worker.flow.judge import Judge
from worker.flow.pipeline import FlowPolicy, Pipeline
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.runtime.engines import demonstration_model
from worker.telemetry import Telemetry

_SEQUENCES = 256


def demonstration_tokenizer() -> JsonTokenizer:
    """The tokenizer of the guard that ships."""
    return JsonTokenizer.load(demonstration_model())


class ReadyEngine:
    """Implements the port `Engine`: its completions are there, in turn, at the next moment."""

    flags = ()
    reference = EngineReference("ready", "1")
    max_num_seqs = _SEQUENCES

    def __init__(self, texts: Sequence[str], max_prompt_tokens: int = 7792) -> None:
        self.max_prompt_tokens = max_prompt_tokens
        self._answers = itertools.cycle(
            [Completion(text, "stop", Usage(200, len(text) // 4, 0)) for text in texts]
        )
        self.progress = 0

    async def start(self) -> None:
        """Nothing to load."""

    async def ready(self) -> None:
        """See `Engine`."""

    async def complete(
        self,
        request: EngineRequest,  # noqa: ARG002 - the port's
        prompt_token_ids: Sequence[int],  # noqa: ARG002
        *,
        request_id: str,  # noqa: ARG002
        trace: Mapping[str, str],  # noqa: ARG002
    ) -> Completion:
        """See `Engine`."""
        await asyncio.sleep(0)
        self.progress += 1
        return next(self._answers)

    async def stop(self) -> None:
        """There is nothing to free."""


def build_judge(engine: Engine, tokenizer: JsonTokenizer, telemetry: Telemetry) -> Judge:
    """GuardReasoner's judge over an engine."""
    guard, clock = GuardReasoner(), SystemClock()
    return Judge(
        guard=guard,
        guard_reference=reference_to(guard, "m", None),
        asker=Asker(
            engine=engine,
            tokenizer=tokenizer,
            telemetry=telemetry,
            clock=clock,
            policy=AskingPolicy(300.0, RetryPolicy()),
        ),
        decoder=EventDecoder(),
        clock=clock,
    )


class _Counted(Telemetry):
    """Telemetry that sets `settled` when so many outcomes are durable."""

    def __init__(self, count: int) -> None:
        super().__init__(SystemClock())
        self.settled = asyncio.Event()
        self._left = count

    def durable(self, outcomes: Sequence[Outcome]) -> None:
        super().durable(outcomes)
        self._left -= len(outcomes)
        if self._left <= 0:
            self.settled.set()


class Way:
    """Takes records from a bus in memory, through a worker, and back to the bus."""

    def __init__(self, given: Sequence[Record], texts: Sequence[str]) -> None:
        self._given = given
        self._texts = texts
        self._tokenizer = demonstration_tokenizer()

    def go(self) -> int:
        """Take all records through a worker that starts and stops; how many it settled."""
        return asyncio.run(self._go())

    async def _go(self) -> int:
        bus = MemoryBus(PARTITIONS)
        for record in self._given:
            bus.append(
                record.partition.topic,
                key=record.key,
                value=record.value,
                headers=record.headers,
                partition=record.partition.number,
                now=record.received_at,
            )
        telemetry = _Counted(len(self._given))
        pipeline, delivery = self._worker(bus, telemetry)
        running = asyncio.create_task(pipeline.run())
        # no poll: it would count by the time that passes
        settled = asyncio.create_task(telemetry.settled.wait())
        await asyncio.wait([settled, running], return_when=asyncio.FIRST_COMPLETED)
        pipeline.stop()
        await running
        return delivery.settled

    def _worker(self, bus: MemoryBus, telemetry: Telemetry) -> tuple[Pipeline, AtLeastOnce]:
        clock = SystemClock()
        source = MemorySource(bus, ["events"])
        delivery = AtLeastOnce(
            source=source, publisher=MemoryPublisher(bus), clock=clock, telemetry=telemetry
        )
        engine = SupervisedEngine(
            ReadyEngine(self._texts), policy=SupervisionPolicy(), clock=clock, telemetry=telemetry
        )
        judge = build_judge(engine, self._tokenizer, telemetry)
        pipeline = Pipeline(
            source=source,
            delivery=delivery,
            judge=judge,
            policy=FlowPolicy(AdmissionPolicy(_SEQUENCES + 64)),
            destinations=Destinations("verdicts", "dead", "group", delivery.max_bytes),
            telemetry=telemetry,
            clock=clock,
        )
        return pipeline, delivery
