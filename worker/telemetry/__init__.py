"""Metrics and spans of a worker.

`names` declares the metrics, `attributes` the names of spans and attributes; `instruments` records
metrics, `tracing` makes spans. The flow makes one call for each step of a record, from which both
follow. No text of events is recorded, except on spans where a setting asks for it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from opentelemetry.trace import INVALID_SPAN, Span
from prometheus_client import CollectorRegistry

from worker.domain.batches import CloseReason
from worker.domain.engines import Completion, EngineRequest
from worker.domain.errors import RecordError
from worker.domain.events import Exchange, Skip
from worker.domain.outcomes import Outcome, OutcomeKind
from worker.domain.ports import Clock
from worker.domain.questions import STANDARD_QUESTIONS, Question
from worker.domain.records import Headers, Partition, Record
from worker.domain.verdicts import Verdict
from worker.telemetry import attributes, names
from worker.telemetry.categories import Categories
from worker.telemetry.chat import Chat
from worker.telemetry.decisions import DecisionMetrics
from worker.telemetry.initial import start_at_zero
from worker.telemetry.instruments import Instruments
from worker.telemetry.metric import Metric
from worker.telemetry.partition_state import PartitionState
from worker.telemetry.recent import RecentVerdicts
from worker.telemetry.tracing import Tracing, baggage, carried, carrier, fail, trace_headers

_NO_SPAN = nullcontext(INVALID_SPAN)
_STATES = ("loading", "running", "stopping")


class Telemetry:
    """Records the metrics and spans of one worker.

    Args:
        tracing: makes the spans; without it none are recorded.
        registry: what a scrape collects.
        questions: of the guard; each label is a time series.
        codes: of the categories that the guard names; each is a time series.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        tracing: Tracing | None = None,
        registry: CollectorRegistry | None = None,
        questions: Sequence[Question] = STANDARD_QUESTIONS,
        codes: Sequence[str] = (),
    ) -> None:
        self.registry = registry or CollectorRegistry()
        self._clock = clock
        self._tracing = tracing or Tracing()
        self._instruments = made = Instruments(self.registry)
        self._categories = Categories(made, codes)
        self._recent = RecentVerdicts(self._categories)
        self.decisions = DecisionMetrics(made)
        # instruments that every record uses are looked up once
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
        self._questions = [(one.name, one in STANDARD_QUESTIONS) for one in questions]
        self._cached_tokens = made.counter(names.TOKENS_CACHED)
        self._reasoned = made.counter(names.REASONED)
        self._tokens_reasoned = made.counter(names.JUDGEMENT_TOKENS, "reasoned")
        self._tokens_scored = made.counter(names.JUDGEMENT_TOKENS, "score")
        start_at_zero(made)

    # receive, batch

    def received(self, records: Sequence[Record], began: float) -> None:
        """Records were received, by a poll that `began` at Unix seconds."""
        by_topic: defaultdict[str, list[Record]] = defaultdict(list)
        for record in records:
            by_topic[record.partition.topic].append(record)
        for topic, received in by_topic.items():
            self._instruments.counter(names.CONSUMED, topic).add(len(received))
            if self._tracing.recording:
                self._tracing.poll(topic, received, began)

    def taken(self, records: Sequence[Record]) -> None:
        """Records were taken out of their queues."""
        now = self._clock.now()
        for record in records:
            self._queue.observe(max(now - record.received_at, 0.0))

    def batched(
        self, records: Sequence[Record], tokens: int, reason: CloseReason, opened_at: float
    ) -> None:
        """A micro-batch closed; `opened_at` is in monotonic seconds."""
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
        """A record is admitted to the engine; returns the time (Unix seconds), for `judged`."""
        now = self._clock.now()
        self._batch.observe(max(now - taken_at, 0.0))
        return now

    def chat(self, exchange: Exchange, request: EngineRequest, provider: str) -> Chat:
        """One completion: its span, its duration, its tokens."""
        tracing = self._tracing
        span = tracing.chat(exchange, request, provider) if tracing.recording else None
        return Chat(self._clock, span, self._chat_ended)

    def _chat_ended(
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
        """A record has a verdict."""
        now = self._clock.now()
        self._judge.observe(max(now - admitted_at, 0.0))
        self._process.observe(max(now - taken_at, 0.0))
        for name, is_standard in self._questions:
            reading = getattr(verdict, name) if is_standard else verdict.criteria.get(name)
            self._labels[name, None if reading is None else reading.label].add()
        self._instruments.counter(names.JUDGEMENTS, verdict.status).add()
        if verdict.reasoned:
            self._reasoned.add()
            self._tokens_reasoned.add(verdict.usage.completion_tokens)
        else:
            self._tokens_scored.add(verdict.usage.completion_tokens)
        for flag in verdict.flags:
            self._instruments.counter(names.FLAGS, flag).add()
        if verdict.categories:
            self._categories.count(verdict)
        age = max(now - record.timestamp_ms / 1000, 0.0)
        self._recent.add(verdict, now, age, record.headers)

    def dead_lettered(self, error: RecordError, taken_at: float, span: Span) -> None:
        """A record cannot be judged and becomes a dead letter; `span` is that of its processing."""
        self._process.observe(max(self._clock.now() - taken_at, 0.0))
        kind = type(error).__name__
        self._instruments.counter(names.DEAD_LETTERS, error.stage, kind).add()
        fail(span, error)

    def replaced(self, error: RecordError) -> None:
        """A dead letter replaces a verdict that is too large for its topic."""
        self._instruments.counter(names.DEAD_LETTERS, error.stage, type(error).__name__).add()

    def skipped(self, reasons: Iterable[Skip]) -> None:
        """Exchanges are neither judged nor dead-lettered, for these reasons."""
        for reason in reasons:
            self._instruments.counter(names.SKIPPED, reason.value).add()

    # publish, settle

    def sending(self, record: Record, topic: str) -> tuple[Span, Headers]:
        """The span of an outcome to be sent, and the trace context for its headers."""
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
        """Outcomes were dropped, because another worker owns their records."""
        for outcome in outcomes:
            outcome.span.set_attribute(attributes.ERROR_TYPE, "stale_epoch")
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
            seconds = self._clock.monotonic() - began
            duration = self._instruments.histogram(names.OPERATION_DURATION, name, failure)
            duration.observe(seconds)

    def rebalanced(self, change: str, partitions: int) -> None:
        """Partitions were `assigned`, `revoked` or `lost`."""
        self._instruments.counter(names.REBALANCES, change).add(partitions)

    # the worker as a whole

    def watch(self, metric: Metric, read: Callable[[], float]) -> None:
        """Read a gauge by this function whenever it is collected."""
        self._instruments.gauge(metric).read = read

    def set(self, metric: Metric, value: float) -> None:
        """Set a gauge."""
        self._instruments.gauge(metric).set(value)

    def add(self, metric: Metric, value: float) -> None:
        """Add to a counter."""
        self._instruments.counter(metric).add(value)

    def partitions(self, states: Mapping[Partition, PartitionState]) -> None:
        """Replace the gauges of partitions by those of the partitions that are held."""
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
        """The worker is `loading`, `running` or `stopping`."""
        self._instruments.replace(names.STATE, {(s,): float(s == state) for s in _STATES})

    def info(self, **values: str) -> None:
        """Set the labels of `names.INFO`."""
        labels = tuple(values[attribute] for attribute in names.INFO.attributes)
        self._instruments.replace(names.INFO, {labels: 1.0})

    def recent(self) -> list[dict[str, Any]]:
        """The last verdicts, newest first, without text of events."""
        return self._recent.documents()
