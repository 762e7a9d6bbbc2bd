"""The parts of a worker, made of the settings: what judges, and what delivers."""

import gc
import math
from dataclasses import dataclass
from importlib import resources

from worker.adapters.clock import SystemClock
from worker.adapters.kafka.connection import Connection
from worker.adapters.kafka.publisher import KafkaPublisher
from worker.adapters.kafka.transactions import KafkaTransactions
from worker.adapters.simulated import Behaviour, SimulatedEngine
from worker.adapters.vllm.engine import GREEDY, Sampling, VllmEngine
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.delivery.at_least_once import AtLeastOnce
from worker.delivery.base import MOST_BEGUN, Delivery
from worker.delivery.exactly_once import ExactlyOnce
from worker.delivery.transaction_pace import TransactionPolicy
from worker.domain.guard import Guard
from worker.domain.ports import Engine, Source
from worker.engine.retry import RetryPolicy
from worker.engine.supervisor import SupervisedEngine, SupervisionPolicy
from worker.flow.judge import Judge
from worker.guards.guardreasoner.prompt import GuardReasoner
from worker.runtime.exporters import Exporters
from worker.runtime.settings import Settings
from worker.telemetry import Telemetry

DEMONSTRATION = "demonstration"
_DEMONSTRATION_MAX_TOKENS = 400


@dataclass(frozen=True, slots=True)
class Judging:
    """What judges: shared by the worker and by the commands that need no Kafka."""

    guard: Guard
    engine: SupervisedEngine
    judge: Judge
    exporters: Exporters

    async def start(self) -> None:
        """Load the model.

        Raises:
            EngineUnavailable: it cannot be loaded.
        """
        self.exporters.start()
        await self.engine.start()
        # vLLM leaves 600,000 objects that stay: each full collection would stop the loop for 0.4 s
        gc.collect()
        gc.freeze()

    async def stop(self) -> None:
        """Free the device, and tell what is left to tell."""
        await self.engine.stop()
        await self.exporters.stop()


def build_guard(settings: Settings) -> Guard:
    """The guard of the settings."""
    return GuardReasoner(settings.guard.prompt_form)


def build_judging(settings: Settings, sampling: Sampling = GREEDY) -> Judging:
    """Guard, engine and judge; the engine is not started. Verdicts are greedy: see `Sampling`.

    Raises:
        EngineUnavailable: the model is not there.
    """
    chosen = settings.engine
    guard = build_guard(settings)
    clock = SystemClock()
    exporters = Exporters(settings)
    telemetry = exporters.telemetry
    simulated = chosen.kind == "simulated"
    ships = chosen.model == DEMONSTRATION
    model = demonstration_model() if ships or simulated else chosen.model
    tokenizer = JsonTokenizer.load(model, chosen.revision)
    max_tokens = min(chosen.max_tokens, _DEMONSTRATION_MAX_TOKENS) if ships else chosen.max_tokens
    engine: Engine
    if simulated:
        engine = SimulatedEngine(
            behaviour=Behaviour(
                time_to_first_token_seconds=chosen.simulated.time_to_first_token_seconds,
                time_per_output_token_seconds=chosen.simulated.time_per_output_token_seconds,
                failure_rate=chosen.simulated.failure_rate,
                refusal_rate=chosen.simulated.refusal_rate,
                hang_rate=chosen.simulated.hang_rate,
                death_rate=chosen.simulated.death_rate,
                poison_rate=chosen.simulated.poison_rate,
                varies=sampling.temperature > 0,
            ),
            clock=clock,
            max_num_seqs=chosen.max_num_seqs,
            max_model_len=chosen.max_model_len or 8192,
            max_tokens=max_tokens,
        )
    else:
        engine = VllmEngine(
            model=model,
            revision=chosen.revision,
            stop_token_ids=[tokenizer.token_id(name) for name in guard.stop_tokens],
            max_tokens=max_tokens,
            max_num_seqs=chosen.max_num_seqs,
            max_model_len=chosen.max_model_len,
            gpu_memory_utilization=chosen.gpu_memory_utilization,
            otlp_endpoint=settings.telemetry.otlp_endpoint,
            extra=chosen.extra,
            sampling=sampling,
        )
    supervised = SupervisedEngine(
        engine,
        policy=SupervisionPolicy(
            stall_seconds=chosen.stall_seconds,
            restarts=chosen.restarts if chosen.on_death == "restart" else 0,
        ),
        clock=clock,
        telemetry=telemetry,
    )
    judge = Judge(
        guard=guard,
        engine=supervised,
        tokenizer=tokenizer,
        telemetry=telemetry,
        clock=clock,
        model="simulated" if simulated else chosen.model,
        revision=chosen.revision,
        request_timeout_seconds=chosen.request_timeout_seconds,
        retries=RetryPolicy(attempts=chosen.attempts),
        with_reasoning=settings.output.reasoning == "full",
        framing=settings.input.framing,
    )
    return Judging(guard, supervised, judge, exporters)


def demonstration_model() -> str:
    """The folder of the guard that ships with the package."""
    return str(resources.files("worker") / "models" / "demonstration")


def build_delivery(
    settings: Settings, connection: Connection, source: Source, telemetry: Telemetry
) -> Delivery:
    """The guarantee of the settings."""
    chosen, clock = settings.delivery, SystemClock()
    if chosen.guarantee == "at_least_once":
        topics = [settings.output.verdict_topic, settings.output.dead_letter_topic]
        publisher = KafkaPublisher(connection, topics=topics, uncompacted=topics[1:])
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
    return KafkaTransactions(
        connection,
        topics=[settings.output.verdict_topic, settings.output.dead_letter_topic],
        uncompacted=[settings.output.dead_letter_topic],
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
