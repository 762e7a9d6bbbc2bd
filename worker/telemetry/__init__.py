"""What a worker tells of itself: metrics and spans, by what happened to a record.

`names` holds every name, `instruments` the metrics, `tracing` the spans. What happens is told
here once, and both follow from it. Nothing of what people wrote is recorded.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from opentelemetry.trace import INVALID_SPAN, Span
from prometheus_client import CollectorRegistry

from worker.domain.engines import Completion
from worker.domain.errors import RecordError
from worker.domain.events import Exchange
from worker.domain.outcomes import Outcome, OutcomeKind
from worker.domain.ports import Clock
from worker.domain.questions import STANDARD_QUESTIONS, Question
from worker.domain.records import Headers, Partition, Record
from worker.domain.verdicts import Verdict
from worker.telemetry import names
from worker.telemetry.instruments import Instruments
from worker.telemetry.names import CloseReason, Metric
from worker.telemetry.tracing import (
    Tracing,
    baggage,
    carried,
    carrier,
    fail,
    trace_headers,
    trace_id,
)

_RECENT = 50
_NO_SPAN = nullcontext(INVALID_SPAN)
_STATES = ("loading", "running", "stopping")
_OPERATIONS = ("commit", "transaction", "publish")


@dataclass(frozen=True, slots=True)
class PartitionState:
    """How a partition stands: records behind its end, received and not committed, its epoch.

    `unstable` counts records past that end: behind a producer transaction that is still open.
    """

    lag: int
    unsettled: int
    epoch: int
    unstable: int = 0


class Telemetry:
    """The one that is told.

    Args:
        tracing: makes the spans; without it none are made.
        registry: what a scrape collects.
        questions: of the guard: each label is a time series.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        tracing: Tracing | None = None,
        registry: CollectorRegistry | None = None,
        questions: Sequence[Question] = STANDARD_QUESTIONS,
    ) -> None:
        self.registry = registry or CollectorRegistry()
        self._clock = clock
        self._tracing = tracing or Tracing()
        self._instruments = made = Instruments(self.registry)
        self._recent: deque[tuple[Verdict, float, float, Headers]] = deque(maxlen=_RECENT)
        # children that every record touches are looked up once
        self._queue, self._batch, self._judge, self._publish = (
            made.histogram(names.STAGE_DURATION, stage)
            for stage in ("queue", "batch", "judge", "publish")
        )
        self._process = made.histogram(names.PROCESS_DURATION)
        self._chat = made.histogram(names.CHAT_DURATION, "")
        self._age = made.histogram(names.VERDICT_AGE)
        self._prompt_tokens = made.histogram(names.TOKEN_USAGE, "input")
        self._completion_tokens = made.histogram(names.TOKEN_USAGE, "output")
        self._labels = {
            (question.name, label): made.counter(names.VERDICTS, question.name, label or "none")
            for question in questions
            for label in (*question.labels, None)
        }
        self._questions = [question.name for question in questions]
        self._cached_tokens = made.counter(names.TOKENS_CACHED)
        # what is not counted yet shows as zero, so that a first failure is a rise
        for status in ("complete", "inconclusive"):
            made.counter(names.JUDGEMENTS, status)
        for kind in ("verdict", "dead_letter", "tombstone"):
            made.counter(names.OUTCOMES, kind)
        for change in ("assigned", "revoked", "lost"):
            made.counter(names.REBALANCES, change)
        for operation in _OPERATIONS:
            made.histogram(names.OPERATION_DURATION, operation, "")
        for error in RecordError.__subclasses__():
            made.counter(names.DEAD_LETTERS, error.stage, error.__name__)
        for reason in CloseReason:
            made.histogram(names.BATCH_SIZE, reason.value)

    # receive, batch

    def received(self, records: Sequence[Record], began: float) -> None:
        """Records came in; the poll `began` at Unix seconds."""
        by_topic: defaultdict[str, list[Record]] = defaultdict(list)
        for record in records:
            by_topic[record.partition.topic].append(record)
        for topic, theirs in by_topic.items():
            self._instruments.counter(names.CONSUMED, topic).add(len(theirs))
            if self._tracing.recording:
                self._tracing.poll(topic, theirs, began)

    def taken(self, records: Sequence[Record]) -> None:
        """Records left their queues."""
        now = self._clock.now()
        for record in records:
            self._queue.observe(max(now - record.received_at, 0.0))

    def batched(
        self, records: Sequence[Record], tokens: int, reason: CloseReason, opened_at: float
    ) -> None:
        """A micro-batch closed that was opened at monotonic seconds."""
        self._instruments.histogram(names.BATCH_SIZE, reason.value).observe(len(records))
        self._instruments.histogram(names.BATCH_TOKENS).observe(tokens)
        if self._tracing.recording:
            waited = self._clock.monotonic() - opened_at
            self._tracing.batch(records, tokens, reason.value, self._clock.now() - waited)

    # judge

    def process(self, record: Record, taken_at: float) -> AbstractContextManager[Span]:
        """The span of one record, from the time it left its queue."""
        return self._tracing.process(record, taken_at) if self._tracing.recording else _NO_SPAN

    def admitted(self, taken_at: float) -> float:
        """A record went to the engine; the time (Unix seconds), to be given to `judged`."""
        now = self._clock.now()
        self._batch.observe(max(now - taken_at, 0.0))
        return now

    def chat(self, exchange: Exchange, provider: str) -> "Chat":
        """One completion: its span, its time, its tokens."""
        tracing = self._tracing
        span = tracing.chat(exchange, provider) if tracing.recording else None
        return Chat(self._clock, span, self._chatted)

    def _chatted(
        self, seconds: float, completion: Completion | None, error: BaseException | None, span: Span
    ) -> None:
        if error is None:
            self._chat.observe(seconds)
        else:
            fail(span, error)
            failed = self._instruments.histogram(names.CHAT_DURATION, type(error).__name__)
            failed.observe(seconds)
        if completion is not None:
            self._completed(completion, span)

    def _completed(self, completion: Completion, span: Span) -> None:
        usage = completion.usage
        self._prompt_tokens.observe(usage.prompt_tokens)
        self._completion_tokens.observe(usage.completion_tokens)
        self._cached_tokens.add(usage.cached_tokens)
        self._tracing.completed(span, completion)

    def judged(
        self, record: Record, verdict: Verdict, *, taken_at: float, admitted_at: float
    ) -> None:
        """A verdict was reached."""
        now = self._clock.now()
        self._judge.observe(max(now - admitted_at, 0.0))
        self._process.observe(max(now - taken_at, 0.0))
        for name in self._questions:
            reading = verdict.reading(name)
            self._labels[name, None if reading is None else reading.label].add()
        self._instruments.counter(names.JUDGEMENTS, verdict.status).add()
        for flag in verdict.flags:
            self._instruments.counter(names.FLAGS, flag).add()
        age = max(now - record.timestamp_ms / 1000, 0.0)
        self._recent.appendleft((verdict, now, age, record.headers))

    def buried(self, error: RecordError, taken_at: float, span: Span) -> None:
        """A record turned out not to be judgeable."""
        self._process.observe(max(self._clock.now() - taken_at, 0.0))
        kind = type(error).__name__
        self._instruments.counter(names.DEAD_LETTERS, error.stage, kind).add()
        fail(span, error)

    def replaced(self, error: RecordError) -> None:
        """A dead letter takes the place of a verdict that its topic turned out not to take."""
        self._instruments.counter(names.DEAD_LETTERS, error.stage, type(error).__name__).add()

    # publish, settle

    def sending(self, record: Record, topic: str) -> tuple[Span, Headers]:
        """An outcome is to be sent: its span, and the trace context for its headers."""
        if not self._tracing.recording:
            return INVALID_SPAN, carried(record.headers)
        span = self._tracing.send(topic)
        # a span's context has no baggage
        return span, (*trace_headers(carrier(span)), *baggage(record.headers))

    def durable(self, outcomes: Sequence[Outcome]) -> None:
        """Outcomes became durable."""
        now = self._clock.now()
        kinds: Counter[OutcomeKind] = Counter()
        topics: Counter[str] = Counter()
        for outcome in outcomes:
            kinds[outcome.kind] += 1
            self._publish.observe(max(now - outcome.concluded_at, 0.0))
            for outgoing in outcome.outgoing:
                topics[outgoing.topic] += 1
            if outcome.outgoing:
                outcome.span.end()
            if outcome.kind == "verdict":
                self._age.observe(max(now - outcome.record.timestamp_ms / 1000, 0.0))
        for kind, count in kinds.items():
            self._instruments.counter(names.OUTCOMES, kind).add(count)
        for topic, count in topics.items():
            self._instruments.counter(names.SENT, topic).add(count)

    def void(self, outcomes: Sequence[Outcome]) -> None:
        """Outcomes were dropped, since their records have another owner."""
        for outcome in outcomes:
            outcome.span.set_attribute(names.ERROR_TYPE, "stale_epoch")
            outcome.span.end()

    @contextmanager
    def operation(self, name: str, topic: str | None = None) -> Iterator[None]:
        """A call to Kafka: `commit`, `transaction` or `publish`."""
        began = self._clock.monotonic()
        failure = ""
        traced = self._tracing.recording and name != "publish"
        try:
            with self._tracing.commit(topic) if traced else _NO_SPAN as span:
                try:
                    yield
                except Exception as error:
                    failure = type(error).__name__
                    fail(span, error)
                    raise
        finally:
            took = self._clock.monotonic() - began
            self._instruments.histogram(names.OPERATION_DURATION, name, failure).observe(took)

    def rebalanced(self, change: str, partitions: int) -> None:
        """Partitions were `assigned`, `revoked` or `lost`."""
        self._instruments.counter(names.REBALANCES, change).add(partitions)

    # the worker as a whole

    def watch(self, metric: Metric, read: Callable[[], float]) -> None:
        """Have a gauge read whenever it is collected."""
        self._instruments.gauge(metric).read = read

    def set(self, metric: Metric, value: float) -> None:
        """Set a gauge."""
        self._instruments.gauge(metric).set(value)

    def add(self, metric: Metric, value: float) -> None:
        """Add to a counter."""
        self._instruments.counter(metric).add(value)

    def partitions(self, states: Mapping[Partition, PartitionState]) -> None:
        """How the partitions that are held stand."""
        for metric, field in (
            (names.LAG_RECORDS, "lag"),
            (names.LAG_UNSTABLE, "unstable"),
            (names.UNSETTLED, "unsettled"),
            (names.EPOCH, "epoch"),
        ):
            self._instruments.replace(
                metric,
                {(p.topic, str(p.number)): getattr(state, field) for p, state in states.items()},
            )

    def state(self, state: str) -> None:
        """What the worker is: `loading`, `running` or `stopping`."""
        self._instruments.replace(names.STATE, {(s,): float(s == state) for s in _STATES})

    def info(self, **said: str) -> None:
        """What runs here, by the attributes of `names.INFO`."""
        values = tuple(said[attribute] for attribute in names.INFO.attributes)
        self._instruments.replace(names.INFO, {values: 1.0})

    def recent(self) -> list[dict[str, Any]]:
        """The last verdicts, newest first: labels and whereabouts, no text."""
        return [
            {
                "topic": verdict.source.topic,
                "partition": verdict.source.partition,
                "offset": verdict.source.offset,
                "status": verdict.status,
                "labels": {name: reading.label for name, reading in verdict.readings().items()},
                "flags": list(verdict.flags),
                "judged_at": at,
                "age_seconds": age,
                "trace_id": trace_id(headers),
            }
            for verdict, at, age, headers in self._recent
        ]


class Chat:
    """One completion under way: a context that does without a generator, as each record has one.

    Attributes:
        context: to be carried into the engine, so that its spans join the trace.
        completion: what came of it, to be set by whoever asked.
    """

    __slots__ = ("_began", "_clock", "_entered", "_span", "_told", "completion", "context")

    def __init__(
        self,
        clock: Clock,
        span: AbstractContextManager[Span] | None,
        told: Callable[[float, Completion | None, BaseException | None, Span], None],
    ) -> None:
        self._clock = clock
        self._span = span
        self._told = told
        self._began = 0.0
        self._entered: Span = INVALID_SPAN
        self.context: Mapping[str, str] = {}
        self.completion: Completion | None = None

    def __enter__(self) -> Self:
        self._began = self._clock.monotonic()
        if self._span is not None:
            self._entered = self._span.__enter__()
            self.context = carrier(self._entered)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        took = self._clock.monotonic() - self._began
        self._told(took, self.completion, error, self._entered)
        if self._span is not None:
            self._span.__exit__(kind, error, traceback)
