"""The parts of a worker, made of the settings: what judges, and what delivers."""

import gc
import math
from dataclasses import dataclass

from worker.adapters.clock import SystemClock
from worker.adapters.kafka.connection import Connection
from worker.adapters.kafka.publisher import KafkaPublisher
from worker.adapters.kafka.transactions import KafkaTransactions
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.decoding.decoder import EventDecoder
from worker.delivery.at_least_once import AtLeastOnce
from worker.delivery.base import MOST_BEGUN, Delivery
from worker.delivery.exactly_once import ExactlyOnce
from worker.delivery.transaction_pace import TransactionPolicy
from worker.domain.engines import before_labels
from worker.domain.guard import Guard, codes_of, sample_requests
from worker.domain.ports import Source
from worker.domain.prompts import Control
from worker.engine.retry import RetryPolicy
from worker.engine.supervisor import SupervisedEngine, SupervisionPolicy
from worker.flow.asking import Asker, AskingPolicy
from worker.flow.context import ContextBudget
from worker.flow.judge import Judge
from worker.runtime.decoding import build_decoder
from worker.runtime.engines import ENGINES, load_model
from worker.runtime.exporters import Exporters
from worker.runtime.guards import BuiltGuard, build_guard
from worker.runtime.settings import Settings
from worker.runtime.topics import names_of, output_topics, uncompacted
from worker.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Judging:
    """What judges: shared by the worker and by the commands that need no Kafka."""

    built: BuiltGuard
    engine: SupervisedEngine
    judge: Judge
    exporters: Exporters
    in_flight_limit: int

    @property
    def guard(self) -> Guard:
        """What asks the engine."""
        return self.built.guard

    async def start(self) -> None:
        """Load the model.

        Raises:
            EngineUnavailable: it cannot be loaded.
            WrongSetting: the calibration is of another guard or engine.
        """
        self.exporters.start()
        await self.engine.start()
        self.built.require_match(self.judge.reference, self.judge.engine_reference)
        # vLLM leaves 600,000 objects that stay: each full collection would stop the loop for 0.4 s
        gc.collect()
        gc.freeze()

    async def stop(self) -> None:
        """Free the device, and export what is left to export."""
        await self.engine.stop()
        await self.exporters.stop()


def build_judging(
    settings: Settings,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    decoder: EventDecoder | None = None,
    calibrated: bool = True,
) -> Judging:
    """Guard, engine and judge; the engine is not started.

    Args:
        settings: which guard and engine.
        decoder: of the records that are judged; the one of the settings by default.
        temperature: verdicts are greedy; training draws several completions of a prompt.
        seed: of requests with a temperature.
        calibrated: False takes scores as they are, in each mode: to calibrate them.

    Raises:
        WrongSetting: there is no such guard, or no calibration that allows this mode.
        EngineUnavailable: the model is not there, or is not one of this guard.
    """
    chosen = settings.engine
    built = build_guard(settings, calibrated=calibrated)
    guard = built.guard
    clock = SystemClock()
    exporters = Exporters(settings, guard.questions, codes_of(guard))
    telemetry = exporters.telemetry
    model = load_model(settings, seed)
    _require_tokens(guard, model.tokenizer, labels=settings.engine.kind != "simulated")
    engine = SupervisedEngine(
        ENGINES[chosen.kind](settings, model),
        policy=SupervisionPolicy(
            stall_seconds=chosen.stall_seconds,
            restarts=chosen.restarts if chosen.on_death == "restart" else 0,
        ),
        clock=clock,
        telemetry=telemetry,
    )
    judge = Judge(
        guard=guard,
        guard_reference=built.reference(settings),
        asker=Asker(
            engine=engine,
            tokenizer=model.tokenizer,
            telemetry=telemetry,
            clock=clock,
            policy=AskingPolicy(
                chosen.request_timeout_seconds, RetryPolicy(attempts=chosen.attempts), temperature
            ),
        ),
        decoder=decoder or build_decoder(settings),
        clock=clock,
        with_reasoning=settings.output.reasoning == "full",
        context=ContextBudget(settings.guard.context_tokens, model.tokenizer)
        if settings.guard.context_turns
        else None,
    )
    return Judging(built, engine, judge, exporters, settings.in_flight_limit)


def _require_tokens(guard: Guard, tokenizer: JsonTokenizer, *, labels: bool) -> None:
    """Refuse a model that lacks control tokens of the guard, or cannot tell its labels apart."""
    for request in sample_requests(guard):
        controls = [run.name for run in request.prompt.runs if isinstance(run, Control)]
        for name in (*controls, *request.stop_tokens):
            tokenizer.token_id(name)
        for place in request.scores if labels else ():
            tokenizer.label_tokens(place.labels, before_labels(request, place))


def build_delivery(
    settings: Settings, connection: Connection, source: Source, telemetry: Telemetry
) -> Delivery:
    """The guarantee of the settings."""
    chosen, clock = settings.delivery, SystemClock()
    if chosen.guarantee == "at_least_once":
        topics = output_topics(settings)
        publisher = KafkaPublisher(
            connection, topics=names_of(topics), uncompacted=uncompacted(topics)
        )
        return AtLeastOnce(
            source=source,
            publisher=publisher,
            clock=clock,
            telemetry=telemetry,
            most_begun=min(settings.input.unsettled_records_per_partition, MOST_BEGUN),
        )
    return ExactlyOnce(
        source=source,
        transactions=build_transactions(settings, connection),
        clock=clock,
        telemetry=telemetry,
        group_id=settings.input.group_id,
        policy=TransactionPolicy(
            chosen.transaction_max_records,
            chosen.transaction_interval_seconds,
            chosen.transactions_per_second,
        ),
        most_begun=min(settings.input.unsettled_records_per_partition, MOST_BEGUN),
    )


def build_transactions(settings: Settings, connection: Connection) -> KafkaTransactions:
    """What `exactly_once` writes through."""
    topics = output_topics(settings)
    return KafkaTransactions(
        connection,
        topics=names_of(topics),
        uncompacted=uncompacted(topics),
        group_id=settings.input.group_id,
        timeout_seconds=settings.delivery.transaction_timeout_seconds,
    )


def count_devices(settings: Settings) -> int:
    """How many GPUs the engine runs on."""
    if settings.engine.kind == "simulated":
        return 1
    extra = settings.engine.extra
    sizes = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
    return math.prod(int(extra.get(size, 1)) for size in sizes)
