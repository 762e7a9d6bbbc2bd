"""All telemetry calls that a worker makes for one record, and nothing else."""

from benchmarks.micro.samples import records
from worker.adapters.clock import SystemClock
from worker.decoding.events import decode_event
from worker.domain.batches import CloseReason
from worker.domain.engines import Completion, EngineReference, EngineRequest, Usage
from worker.domain.events import judged_exchange
from worker.domain.judgements import Judgement, Reading
from worker.domain.outcomes import Outcome
from worker.domain.prompts import Prompt
from worker.domain.records import OutgoingRecord, working_on
from worker.domain.verdicts import GuardReference, Verdict, VerdictSource, judge_event
from worker.telemetry import Telemetry

BATCH = 64


class TelemetryCalls:
    """Makes the calls of the pipeline, in its order, without its work."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._telemetry = Telemetry(self._clock)
        self._now = self._clock.now()
        self._records = records(BATCH)
        event = decode_event(self._records[0].value or b"")
        self._exchange = judged_exchange(event)
        self._request = EngineRequest(Prompt(("",)))
        self._completion = Completion("", "stop", Usage(200, 100, 110))
        self._outgoing = OutgoingRecord("verdicts", b"k", b"{}", ())
        harmless = Reading("unharmful", source="answer")
        readings = {
            "prompt_harmfulness": harmless,
            "response_refusal": Reading("compliance", source="answer"),
            "response_harmfulness": harmless,
        }
        self._verdict: Verdict = judge_event(
            Judgement("complete", readings),
            event=event,
            event_id="1",
            source=VerdictSource("events", 0, 0, ""),
            guard=GuardReference("g", "m", None, ""),
            engine=EngineReference("e", "1"),
            usage=self._completion.usage,
            finish_reason="stop",
            flags=(),
            with_reasoning=False,
            received_at=self._now,
            judged_at=self._now,
        )

    def make(self) -> None:
        """A micro-batch of `BATCH` records, from its arrival until it is durable."""
        telemetry, now = self._telemetry, self._now
        telemetry.received(self._records, now)
        telemetry.taken(self._records)
        telemetry.batched(self._records, 200 * BATCH, CloseReason.RECORDS, self._clock.monotonic())
        outcomes = []
        for record in self._records:
            admitted_at = telemetry.admitted(now)
            with working_on(record), telemetry.process(record, now):
                with telemetry.chat(self._exchange, self._request, "vllm") as chat:
                    chat.completion = self._completion
                span, _ = telemetry.sending(record, "verdicts")
                telemetry.judged(record, self._verdict, taken_at=now, admitted_at=admitted_at)
                now_concluded = self._clock.now()
                outcomes.append(Outcome(record, "verdict", (self._outgoing,), now_concluded, span))
        with telemetry.operation("publish"):
            telemetry.durable(outcomes)
