"""Every span, metric and attribute name, in one place.

Where OpenTelemetry has a name (semantic conventions v1.44, messaging and gen_ai, all in
development) it is used; ours begin with `guardstream.`. On `/metrics` a name is written as
OpenTelemetry's compatibility rules say: dots become underscores, the unit and `_total` follow.
"""

from dataclasses import dataclass
from enum import StrEnum


class CloseReason(StrEnum):
    """Why a batch closed."""

    RECORDS = "records"
    TOKENS = "tokens"
    LINGER = "linger"
    SUSPECT = "suspect"


class Kind(StrEnum):
    """What a metric does: grows, goes up and down, or is distributed."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Attributes:
        unit: UCUM, as OpenTelemetry has it: seconds `s`, bytes `By`, things `{thing}`.
        attributes: each takes few values: never an id, never anybody's text.
        buckets: upper bounds, of a histogram.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def base(self) -> str:
        """The name on `/metrics`, less what a counter or histogram adds to it."""
        suffix = {"s": "_seconds", "By": "_bytes"}.get(self.unit, "")
        return self.name.replace(".", "_") + suffix

    @property
    def labels(self) -> tuple[str, ...]:
        """The attributes' names on `/metrics`."""
        return tuple(label(attribute) for attribute in self.attributes)

    @property
    def series(self) -> tuple[str, ...]:
        """The names of its series on `/metrics`."""
        match self.kind:
            case Kind.COUNTER:
                return (f"{self.base}_total",)
            case Kind.GAUGE:
                return (self.base,)
            case Kind.HISTOGRAM:
                return tuple(f"{self.base}_{part}" for part in ("bucket", "count", "sum"))


def label(attribute: str) -> str:
    """An attribute's name on `/metrics`."""
    return attribute.replace(".", "_")


# attributes

SYSTEM = "messaging.system"
DESTINATION = "messaging.destination.name"
PARTITION_ID = "messaging.destination.partition.id"
GROUP = "messaging.consumer.group.name"
OFFSET = "messaging.kafka.offset"
MESSAGE_COUNT = "messaging.batch.message_count"
OPERATION = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
ERROR_TYPE = "error.type"
GENAI_OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - no secret
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
EVENT_ID = "guardstream.event_id"
VERDICT_ID = "guardstream.verdict_id"
STATUS = "guardstream.status"
BATCH_REASON = "guardstream.batch.reason"
BATCH_TOKENS_USED = "guardstream.batch.tokens"

# spans: what precedes a topic or a model

POLL = "poll"
BATCH = "batch"
PROCESS = "process"
CHAT = "chat"
SEND = "send"
COMMIT = "commit"

# metrics

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0)
_AGES = (*_LONG, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768)
_POWERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

CONSUMED = Metric(
    "messaging.client.consumed.messages",
    Kind.COUNTER,
    "{message}",
    "Records received, by topic.",
    (DESTINATION,),
)
SENT = Metric(
    "messaging.client.sent.messages",
    Kind.COUNTER,
    "{message}",
    "Records that became durable, by topic.",
    (DESTINATION,),
)
OPERATION_DURATION = Metric(
    "messaging.client.operation.duration",
    Kind.HISTOGRAM,
    "s",
    "Calls to Kafka: `commit` of offsets, `transaction` of outcomes with offsets, `publish`.",
    (OPERATION, ERROR_TYPE),
    _SHORT,
)
PROCESS_DURATION = Metric(
    "messaging.process.duration",
    Kind.HISTOGRAM,
    "s",
    "From taking a record out of its queue until its outcome is known.",
    (),
    _LONG,
)
CHAT_DURATION = Metric(
    "gen_ai.client.operation.duration",
    Kind.HISTOGRAM,
    "s",
    "Duration of one completion, including the wait at the engine.",
    (ERROR_TYPE,),
    _LONG,
)
TOKEN_USAGE = Metric(
    "gen_ai.client.token.usage",
    Kind.HISTOGRAM,
    "{token}",
    "Tokens of a prompt (`input`) and of its completion (`output`).",
    (TOKEN_TYPE,),
    _TOKENS,
)
TOKENS_CACHED = Metric(
    "guardstream.tokens.cached",
    Kind.COUNTER,
    "{token}",
    "Prompt tokens found in the engine's prefix cache.",
)
OUTCOMES = Metric(
    "guardstream.outcomes",
    Kind.COUNTER,
    "{record}",
    "Records with a durable outcome: `verdict`, `dead_letter`, or `tombstone` (skipped).",
    ("outcome",),
)
VERDICTS = Metric(
    "guardstream.verdicts",
    Kind.COUNTER,
    "{label}",
    "Labels judged, by task; `none` if a task has no label.",
    ("task", "label"),
)
JUDGEMENTS = Metric(
    "guardstream.judgements",
    Kind.COUNTER,
    "{judgement}",
    "Exchanges judged: `complete` or `inconclusive`.",
    ("status",),
)
FLAGS = Metric("guardstream.flags", Kind.COUNTER, "{flag}", "Flags of verdicts.", ("flag",))
DEAD_LETTERS = Metric(
    "guardstream.dead_letters",
    Kind.COUNTER,
    "{record}",
    "Records that could not be judged, by stage and error.",
    ("stage", ERROR_TYPE),
)
VERDICT_AGE = Metric(
    "guardstream.verdict.age",
    Kind.HISTOGRAM,
    "s",
    "From Kafka's timestamp of the event until its verdict is durable.",
    (),
    _AGES,
)
STAGE_DURATION = Metric(
    "guardstream.stage.duration",
    Kind.HISTOGRAM,
    "s",
    "Time of a record in each stage: `queue` (received), `batch` (decoded; waits for the batch and"
    " for a free slot), `judge` (at the engine, retries included), `publish` (until durable).",
    ("stage",),
    _LONG,
)
BATCH_SIZE = Metric(
    "guardstream.batch.size",
    Kind.HISTOGRAM,
    "{record}",
    "Records per micro-batch, by the reason for closing it.",
    ("reason",),
    _POWERS,
)
BATCH_TOKENS = Metric(
    "guardstream.batch.tokens",
    Kind.HISTOGRAM,
    "{token}",
    "Prompt tokens of a micro-batch.",
    (),
    tuple(64 * 2**n for n in range(12)),
)
IN_FLIGHT = Metric("guardstream.in_flight", Kind.GAUGE, "{record}", "Records at the engine.")
IN_FLIGHT_LIMIT = Metric(
    "guardstream.in_flight.limit",
    Kind.GAUGE,
    "{record}",
    "Maximum number of records at the engine.",
)
QUEUED_RECORDS = Metric(
    "guardstream.queued.records",
    Kind.GAUGE,
    "{record}",
    "Records received, and not yet taken from their queue.",
)
QUEUED_SIZE = Metric("guardstream.queued.size", Kind.GAUGE, "By", "Size of the queued records.")
QUEUED_AGE = Metric(
    "guardstream.queued.age", Kind.GAUGE, "s", "Age of the oldest queued record in its queue."
)
UNSETTLED = Metric(
    "guardstream.unsettled.records",
    Kind.GAUGE,
    "{record}",
    "Records received, and not yet committed, from a partition's oldest open record on.",
    ("topic", "partition"),
)
LAG_RECORDS = Metric(
    "guardstream.lag.records",
    Kind.GAUGE,
    "{record}",
    "Records of a partition behind the committed offset.",
    ("topic", "partition"),
)
LAG_UNSTABLE = Metric(
    "guardstream.lag.unstable",
    Kind.GAUGE,
    "{record}",
    "Records behind an open producer transaction: not yet lag, since they cannot be read before it"
    " ends.",
    ("topic", "partition"),
)
LAG_TIME = Metric(
    "guardstream.lag.time",
    Kind.GAUGE,
    "s",
    "Time this worker needs for the lag of its partitions, at its rate with a full engine.",
)
BACKLOG = Metric(
    "guardstream.backlog.gpu",
    Kind.GAUGE,
    "s",
    "GPU-seconds of work in the lag of its partitions, at a record's cost with a full engine.",
)
EPOCH = Metric(
    "guardstream.partition.epoch",
    Kind.GAUGE,
    "{epoch}",
    "Epoch of the assignment under which a partition is held; grows with each assignment.",
    ("topic", "partition"),
)
PARTITIONS_HELD = Metric(
    "guardstream.partitions.held", Kind.GAUGE, "{partition}", "Partitions this worker holds."
)
PARTITIONS_PAUSED = Metric(
    "guardstream.partitions.paused",
    Kind.GAUGE,
    "{partition}",
    "Partitions that are not fetched, because their queues are full.",
)
REBALANCES = Metric(
    "guardstream.rebalances",
    Kind.COUNTER,
    "{partition}",
    "Partitions assigned and removed: `assigned`, `revoked`, `lost`.",
    ("change",),
)
BREAKER_OPEN = Metric(
    "guardstream.breaker.open", Kind.GAUGE, "1", "1 while records wait for the engine to recover."
)
ENGINE_RESTARTS = Metric(
    "guardstream.engine.restarts",
    Kind.COUNTER,
    "{restart}",
    "Restarts of the engine inside the worker process.",
)
ENGINE_BUSY = Metric(
    "guardstream.engine.busy", Kind.COUNTER, "s", "Time with at least one prompt at the engine."
)
STATE = Metric(
    "guardstream.state",
    Kind.GAUGE,
    "1",
    "1 for the current state: `loading`, `running` or `stopping`.",
    ("state",),
)
READY = Metric("guardstream.ready", Kind.GAUGE, "1", "1 while `/readyz` succeeds.")
LOOP_LAG = Metric(
    "guardstream.loop.lag",
    Kind.GAUGE,
    "s",
    "Delay of the event loop at its last heartbeat; grows when the loop is busy.",
)
INFO = Metric(
    "guardstream.info",
    Kind.GAUGE,
    "1",
    "1, with version, guard, model, engine, guarantee and group as labels.",
    ("version", "guard", "model", "engine", "guarantee", "group"),
)

METRICS: tuple[Metric, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)
