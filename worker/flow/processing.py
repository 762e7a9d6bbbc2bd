"""The way of a record from its queue to its outcome: decode → judge → decide → publish."""

import asyncio
from collections.abc import Sequence

from opentelemetry.trace import Span

from worker.delivery.base import Delivery
from worker.domain.batches import CloseReason
from worker.domain.errors import RecordError
from worker.domain.outcomes import ExchangeOutcome, Outcome
from worker.domain.ports import Clock
from worker.domain.records import Record, working_on
from worker.domain.verdicts import Verdict
from worker.flow.admission import Admission
from worker.flow.batching import MicroBatch
from worker.flow.circuit_breaking import CircuitBreakingJudge
from worker.flow.gathering import GatheredRecord
from worker.flow.judge import Preparation, PreparedRecord
from worker.flow.outcomes import Outcomes
from worker.flow.ownership import Ownership
from worker.flow.scheduler import Scheduler
from worker.telemetry import Telemetry


class Processor:
    """Prepares records in groups, and judges each admitted one in a separate task."""

    def __init__(
        self,
        *,
        judge: CircuitBreakingJudge,
        outcomes: Outcomes,
        scheduler: Scheduler,
        ownership: Ownership,
        admission: Admission,
        delivery: Delivery,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._judge = judge
        self._outcomes = outcomes
        self._scheduler = scheduler
        self._ownership = ownership
        self._admission = admission
        self._delivery = delivery
        self._telemetry = telemetry
        self._clock = clock
        self._group: asyncio.TaskGroup
        self._tasks: set[asyncio.Task[None]] = set()

    def serve(self, group: asyncio.TaskGroup) -> None:
        """Judge in this group, so that a fatal error of one record's task stops the worker."""
        self._group = group

    def tasks(self) -> list[asyncio.Task[None]]:
        """What judges at the moment."""
        return list(self._tasks)

    # decode

    async def prepare(self, records: Sequence[Record]) -> list[PreparedRecord]:
        """Decode, render and tokenise; what has its outcome already is sent at once.

        A record that holds several exchanges is prepared as many times.
        """
        taken_at = self._clock.now()
        judgeable = []
        for record in records:
            if record.value is None:
                await self._send_at_once(self._outcomes.tombstone(record, taken_at))
            else:
                judgeable.append(record)
        ready: list[PreparedRecord] = []
        for preparation in await self._judge.prepare(judgeable):
            record, exchanges, skipped = preparation
            if skipped:
                self._telemetry.skipped(skipped)
            if not exchanges:
                await self._send_at_once(self._outcomes.skipped(record, taken_at))
            elif exchanges[0].number is not None:
                ready += await self._gather(preparation, taken_at)
            elif isinstance(exchanges[0], PreparedRecord):
                ready.append(exchanges[0])
            else:
                await self.refuse(record, exchanges[0].error, taken_at)
        return ready

    async def _gather(self, preparation: Preparation, taken_at: float) -> list[PreparedRecord]:
        """Of a record with several exchanges, those that go to the engine."""
        record, exchanges, _ = preparation
        gathered = GatheredRecord(len(exchanges))
        ready, complete = [], list[ExchangeOutcome]()
        for one in exchanges:
            if isinstance(one, PreparedRecord):
                one.gathered = gathered
                ready.append(one)
                continue
            with working_on(record), self._telemetry.process(record, taken_at) as span:
                self._outcomes.refused(one.error, taken_at, span)
            complete = gathered.add(one.number, error=one.error)
        if complete:
            await self._send_at_once(self._outcomes.of_exchanges(record, complete))
        for _ in ready[1:]:
            # one slot each; the first has that of the record
            self._admission.take(record)
        return ready

    async def refuse(self, record: Record, error: RecordError, taken_at: float) -> None:
        """Dead-letter a record that does not go to the engine."""
        with working_on(record), self._telemetry.process(record, taken_at) as span:
            outcome = self._outcomes.dead_letter(record, error, taken_at, span)
        await self._send_at_once(outcome)

    # judge

    async def admit(self, batch: MicroBatch[PreparedRecord]) -> None:
        """Start to judge a batch as soon as there is room."""
        records = [prepared.record for prepared in batch.items]
        self._telemetry.batched(records, batch.tokens, batch.reason, batch.opened_at)
        await self._admission.room(len(batch.items))
        for prepared in batch.items:
            # partitions may have gone while the batch was gathered
            if not self._ownership.is_ours(prepared.record):
                self._admission.drop(prepared.record)
                continue
            self._admission.acquire(prepared.record)
            task = self._group.create_task(self._judge_one(prepared))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def admit_alone(self, record: Record) -> None:
        """Prepare a suspect, and start to judge it."""
        for prepared in await self.prepare([record]):
            tokens, now = len(prepared.prompt_token_ids), self._clock.monotonic()
            await self.admit(MicroBatch((prepared,), tokens, CloseReason.SUSPECT, now))

    async def _judge_one(self, prepared: PreparedRecord) -> None:
        record, taken_at = prepared.record, prepared.taken_at
        admitted_at = self._telemetry.admitted(taken_at)
        outcome: Outcome | None = None
        try:
            with (
                self._scheduler.counting_deaths(),
                working_on(record),
                self._telemetry.process(record, taken_at) as span,
            ):
                try:
                    verdict = await self._judge.judge(
                        prepared, wanted=lambda: self._ownership.is_ours(record)
                    )
                    if verdict is not None:
                        outcome = self._concluded(prepared, verdict, admitted_at)
                except RecordError as error:
                    outcome = self._refused(prepared, error, span)
            if outcome is not None:
                await self._deliver(outcome)
        finally:
            # not before its outcome is accepted: else the bound would not count it meanwhile
            self._admission.returned(record)

    def _concluded(
        self, prepared: PreparedRecord, verdict: Verdict, admitted_at: float
    ) -> Outcome | None:
        """The outcome of a record that was judged; None while exchanges of it are left."""
        if prepared.gathered is None:
            return self._outcomes.verdict(prepared, verdict, admitted_at)
        judged = self._outcomes.exchange_verdict(prepared, verdict, admitted_at)
        complete = prepared.gathered.add(prepared.number, judged)
        return self._outcomes.of_exchanges(prepared.record, complete) if complete else None

    def _refused(self, prepared: PreparedRecord, error: RecordError, span: Span) -> Outcome | None:
        record, taken_at = prepared.record, prepared.taken_at
        if prepared.gathered is None:
            return self._outcomes.dead_letter(record, error, taken_at, span)
        self._outcomes.refused(error, taken_at, span)
        complete = prepared.gathered.add(prepared.number, error=error)
        return self._outcomes.of_exchanges(record, complete) if complete else None

    # publish

    async def _deliver(self, outcome: Outcome) -> None:
        """Hand an outcome to the delivery; a record that was judged alone is no suspect now."""
        partition = outcome.record.partition
        window = self._delivery.window(partition)
        if window is not None and window.is_suspecting:
            # first, since publishing may take long: no later death may be attributed to it
            await self._delivery.suspect(partition, begins=False)
        await self._delivery.deliver([outcome])

    async def _send_at_once(self, outcome: Outcome) -> None:
        """Send an outcome that never went to the engine."""
        self._admission.acquire(outcome.record)
        await self._deliver(outcome)
        self._admission.release(outcome.record)
