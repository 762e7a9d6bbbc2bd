"""The metrics of a worker.

Names follow OpenTelemetry's semantic conventions, as those of `attributes` do.
"""

from worker.telemetry import attributes
from worker.telemetry.buckets import AGES, LONG, POWERS, SHORT, TOKENS
from worker.telemetry.metric import Kind, Metric

CONSUMED = Metric(
    "messaging.client.consumed.messages",
    Kind.COUNTER,
    "{message}",
    "Records received, by topic.",
    (attributes.DESTINATION,),
)
SENT = Metric(
    "messaging.client.sent.messages",
    Kind.COUNTER,
    "{message}",
    "Records that became durable, by topic.",
    (attributes.DESTINATION,),
)
OPERATION_DURATION = Metric(
    "messaging.client.operation.duration",
    Kind.HISTOGRAM,
    "s",
    "Calls to Kafka: `commit` of offsets, `transaction` of outcomes with offsets, `publish`.",
    (attributes.OPERATION, attributes.ERROR_TYPE),
    SHORT,
)
PROCESS_DURATION = Metric(
    "messaging.process.duration",
    Kind.HISTOGRAM,
    "s",
    "From taking a record out of its queue until its outcome is known.",
    (),
    LONG,
)
CHAT_DURATION = Metric(
    "gen_ai.client.operation.duration",
    Kind.HISTOGRAM,
    "s",
    "Duration of one completion, including the wait at the engine.",
    (attributes.ERROR_TYPE,),
    LONG,
)
TOKEN_USAGE = Metric(
    "gen_ai.client.token.usage",
    Kind.HISTOGRAM,
    "{token}",
    "Tokens of a prompt (`input`) and of its completion (`output`).",
    (attributes.TOKEN_TYPE,),
    TOKENS,
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
    "Records with a durable outcome: `verdict`, `dead_letter`, `tombstone` (without a value), or"
    " `skipped` (no exchange in it is judged).",
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
REASONED = Metric(
    "guardstream.judgements.reasoned",
    Kind.COUNTER,
    "{judgement}",
    "Exchanges that the guard reasoned about; the others were judged by their score alone.",
)
JUDGEMENT_TOKENS = Metric(
    "guardstream.judgements.tokens",
    Kind.COUNTER,
    "{token}",
    "Tokens generated for judgements: `reasoned`, or by `score` alone.",
    ("by",),
)
CATEGORIES = Metric(
    "guardstream.categories",
    Kind.COUNTER,
    "{verdict}",
    "Verdicts with a category, by its code; `other` for codes that the guard does not name.",
    ("code",),
)
FLAGS = Metric("guardstream.flags", Kind.COUNTER, "{flag}", "Flags of verdicts.", ("flag",))
DECISIONS = Metric(
    "guardstream.decisions",
    Kind.COUNTER,
    "{decision}",
    "Decisions on verdicts, by action: of the `acting` policy, and of the `shadow` policy.",
    ("policy", "action"),
)
DECISIONS_DIFFER = Metric(
    "guardstream.decisions.differ",
    Kind.COUNTER,
    "{decision}",
    "Decisions for which the shadow policy has another action.",
    ("action", "shadow_action"),
)
RULE_ERRORS = Metric(
    "guardstream.decisions.rule_errors",
    Kind.COUNTER,
    "{error}",
    "Rules that could not be evaluated on a verdict.",
    ("policy", "rule"),
)
DEAD_LETTERS = Metric(
    "guardstream.dead_letters",
    Kind.COUNTER,
    "{record}",
    "Records that could not be judged, by stage and error.",
    ("stage", attributes.ERROR_TYPE),
)
SKIPPED = Metric(
    "guardstream.exchanges.skipped",
    Kind.COUNTER,
    "{exchange}",
    "Exchanges that are neither judged nor dead-lettered, by reason.",
    ("reason",),
)
VERDICT_AGE = Metric(
    "guardstream.verdict.age",
    Kind.HISTOGRAM,
    "s",
    "From Kafka's timestamp of the event until its verdict is durable.",
    (),
    AGES,
)
STAGE_DURATION = Metric(
    "guardstream.stage.duration",
    Kind.HISTOGRAM,
    "s",
    "Time of a record in each stage: `queue` (received), `batch` (decoded; waits for the batch and"
    " for a free slot), `judge` (at the engine, retries included), `publish` (until durable).",
    ("stage",),
    LONG,
)
BATCH_SIZE = Metric(
    "guardstream.batch.size",
    Kind.HISTOGRAM,
    "{record}",
    "Records per micro-batch, by the reason for closing it.",
    ("reason",),
    POWERS,
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
POLICY_INFO = Metric(
    "guardstream.policy.info",
    Kind.GAUGE,
    "1",
    "1, with name, version and SHA-256 of each policy in use as labels.",
    ("policy", "name", "version", "sha256"),
)
POLICY_BROKEN = Metric(
    "guardstream.policy.broken",
    Kind.GAUGE,
    "1",
    "1 while a policy's file cannot be used, and the policy that was read before is.",
    ("policy",),
)

METRICS: tuple[Metric, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)
