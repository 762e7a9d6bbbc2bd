"""What telling costs: the time that metrics and log context take for one record on its way.

The machine's noise between two whole runs is larger than what is looked for, so the calls that one
record makes are timed alone, and set against the CPU that the whole worker spends on a record in
the same run (`benchmarks.guarantees`).
"""

import asyncio
import statistics
import time
from collections import defaultdict
from typing import Annotated

import orjson
import typer

from benchmarks.guarantees import measure
from tests.collector import Collector
from worker.adapters.clock import SystemClock
from worker.adapters.kafka.broker import free_ports
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
    """Print the share of a worker's CPU that goes into telling what it does.

    Then events per second with all spans and metrics pushed to a collector that is well, that
    refuses, that never answers, and to one that is down. The collector is in the same process, so
    one that is well takes of its CPU too.
    """
    told = statistics.median(_seconds_per_record() for _ in range(rounds)) * 1e6
    typer.echo(f"telling             {told:6.1f} µs of CPU a record")
    for guarantee, figures in asyncio.run(measure(events, rounds, partitions=8)).items():
        whole = statistics.median(figure["cpu_us_per_event"] for figure in figures)
        typer.echo(f"{guarantee:<20}{whole:6.0f} µs of CPU a record: {told / whole:.1%} of it")
    asyncio.run(_with_collectors(events, rounds))


async def _with_collectors(events: int, rounds: int) -> None:
    (closed,) = free_ports(1)
    rates: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for mood in ("none", "well", "refusing", "hanging", "down"):
            async with Collector("well" if mood in ("none", "down") else mood) as collector:
                endpoint = f"http://127.0.0.1:{closed}" if mood == "down" else collector.endpoint
                told = {} if mood == "none" else {"otlp_endpoint": endpoint, "push_seconds": 1.0}
                found = await measure(events, 1, 8, telemetry=told)
            rates[mood] += [figures[0]["events_per_second"] for figures in found.values()]
    for mood, found in rates.items():
        typer.echo(f"collector {mood:<10}{statistics.median(found):6.0f} events/s")


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
