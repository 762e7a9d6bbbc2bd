"""What telling costs: the time that metrics and log context take for one record on its way.

The machine's noise between two whole runs is larger than what is looked for, so the calls that one
record makes are timed alone, and set against the CPU that the whole worker spends on a record in
the same run (`benchmarks.guarantees`).
"""

import asyncio
import statistics
import time
from typing import Annotated

import orjson
import typer

from benchmarks.guarantees import measure
from worker.adapters.clock import SystemClock
from worker.batching import CloseReason
from worker.events import decode_event, judged_exchange
from worker.outcomes import Outcome
from worker.ports import Completion
from worker.records import OutgoingRecord, Partition, Record, in_hand
from worker.telemetry import Telemetry
from worker.verdicts import (
    EngineReference,
    GuardReference,
    Judgement,
    Reading,
    Usage,
    Verdict,
    VerdictSource,
    judge_event,
)

_BATCH = 64
_RECORDS = 20_000


def main(
    events: Annotated[int, typer.Option(help="Through the whole worker, a round.")] = 10_000,
    rounds: Annotated[int, typer.Option(help="Of each.")] = 3,
) -> None:
    """Print the share of a worker's CPU that goes into telling what it does."""
    told = statistics.median(_seconds_per_record() for _ in range(rounds)) * 1e6
    typer.echo(f"telling             {told:6.1f} µs of CPU a record")
    for guarantee, figures in asyncio.run(measure(events, rounds, partitions=8)).items():
        whole = statistics.median(figure["cpu_us_per_event"] for figure in figures)
        typer.echo(f"{guarantee:<20}{whole:6.0f} µs of CPU a record: {told / whole:.1%} of it")


def _seconds_per_record() -> float:
    clock = SystemClock()
    telemetry = Telemetry(clock)
    now = clock.now()
    records = [
        Record(Partition("events", n % 8), 1, n, b"k", b"{}", (), int(now * 1000), now)
        for n in range(_BATCH)
    ]
    verdict, completion = _verdict(now), Completion("", "stop", Usage(200, 100, 110))
    exchange = judged_exchange(decode_event(orjson.dumps({"prompt": "hello"}), {}))
    outgoing = OutgoingRecord("verdicts", b"k", b"{}", ())
    began = time.process_time()
    for _ in range(_RECORDS // _BATCH):
        telemetry.received(records, now)
        telemetry.taken(records)
        telemetry.batched(records, 200 * _BATCH, CloseReason.RECORDS, clock.monotonic())
        outcomes = []
        for record in records:
            admitted_at = telemetry.admitted(now)
            with in_hand(record), telemetry.process(record, now):
                with telemetry.chat(exchange, "vllm") as chat:
                    chat.completion = completion
                span, _ = telemetry.sending(record, "verdicts")
                telemetry.judged(record, verdict, taken_at=now, admitted_at=admitted_at)
                outcomes.append(Outcome(record, "verdict", outgoing, clock.now(), span))
        with telemetry.operation("publish"):
            telemetry.durable(outcomes)
    return (time.process_time() - began) / (_RECORDS // _BATCH * _BATCH)


def _verdict(now: float) -> Verdict:
    reading = Reading("unharmful", "answer")
    return judge_event(
        Judgement("complete", reading, Reading("compliance", "answer"), reading),
        event=decode_event(orjson.dumps({"prompt": "hello"}), {}),
        event_id="1",
        source=VerdictSource("events", 0, 0, ""),
        guard=GuardReference("g", "m", None, ""),
        engine=EngineReference("e", "1"),
        usage=Usage(200, 100, 110),
        finish_reason="stop",
        flags=(),
        with_reasoning=False,
        received_at=now,
        judged_at=now,
    )


if __name__ == "__main__":
    typer.run(main)
