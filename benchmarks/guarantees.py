"""What a guarantee costs: both, in turn, with an engine that costs nothing.

Events per second and CPU per event through the complete worker (decode, render, tokenise, batch,
read, encode, publish, settle), on one broker on this machine; and how long it takes to take over
many partitions, and with how many file descriptors.
"""

import asyncio
import json
import logging
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.topics import event_values, fill, uncommitted
from worker.adapters.kafka.connection import create_topics
from worker.demo.kafka.broker import Broker
from worker.runtime.settings import Settings, load_settings
from worker.runtime.worker import Worker

GUARANTEES = ("at_least_once", "exactly_once")


def main(
    events: Annotated[int, typer.Option(help="Events a round.")] = 10_000,
    rounds: Annotated[int, typer.Option(help="Rounds of each guarantee.")] = 3,
    partitions: Annotated[int, typer.Option(help="Of the input topic.")] = 8,
    output: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Measure both guarantees, a round of each in turn."""
    logging.disable(logging.WARNING)
    measured = asyncio.run(measure(events, rounds, partitions))
    typer.echo(f"{'':<16}{'events/s':>10}{'CPU µs/event':>14}{'takeover s':>12}{'fds':>6}")
    for guarantee, found in measured.items():
        medians = {
            key: statistics.median(figure[key] for figure in found)
            for key in ("events_per_second", "cpu_us_per_event", "takeover_seconds", "fds")
        }
        typer.echo(
            f"{guarantee:<16}{medians['events_per_second']:>10.0f}"
            f"{medians['cpu_us_per_event']:>14.0f}{medians['takeover_seconds']:>12.2f}"
            f"{medians['fds']:>6.0f}"
        )
    if output:
        output.write_text(json.dumps(measured, indent=2) + "\n")


async def measure(
    events: int, rounds: int, partitions: int, **groups: dict[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """The figures of each guarantee, round by round; `groups` are further settings."""
    values = event_values(events)
    figures: dict[str, list[dict[str, Any]]] = {guarantee: [] for guarantee in GUARANTEES}
    async with Broker(heap_mebibytes=512) as broker:
        for round_number in range(rounds):
            for guarantee in GUARANTEES:
                name = f"{guarantee}-{round_number}"
                settings = load_settings(
                    kafka={"bootstrap_servers": broker.bootstrap_servers},
                    input={"topics": [f"events-{name}"], "group_id": name},
                    output={"verdict_topic": f"verdicts-{name}", "dead_letter_topic": "dead"},
                    delivery={"guarantee": guarantee},
                    engine={
                        "kind": "simulated",
                        "simulated": {
                            "time_to_first_token_seconds": 0.0,
                            "time_per_output_token_seconds": 0.0,
                        },
                    },
                    health={"port": 0},
                    **groups,
                )
                figures[guarantee].append(await _one_round(settings, values, partitions))
    return figures


async def _one_round(settings: Settings, values: list[bytes], partitions: int) -> dict[str, Any]:
    worker = Worker(settings)
    topic = settings.input.topics[0]
    outputs = [settings.output.verdict_topic, settings.output.dead_letter_topic]
    await create_topics(worker.connection, outputs, partitions=4)
    await fill(worker.connection, topic, values, partitions=partitions)
    started, cpu = time.perf_counter(), _cpu_seconds()
    running = asyncio.create_task(worker.run())
    await _until(lambda: worker.held == partitions)
    taken_over = time.perf_counter()
    fds = _open_files()
    await _until(lambda: worker.settled == len(values))
    seconds = time.perf_counter() - taken_over
    worker.stop()
    await running
    left = await uncommitted(worker.connection, topic, settings.input.group_id)
    assert not left, "everything is settled"  # noqa: S101
    return {
        "guarantee": settings.delivery.guarantee,
        "partitions": partitions,
        "events": len(values),
        "events_per_second": len(values) / seconds,
        "cpu_us_per_event": (_cpu_seconds() - cpu) / len(values) * 1e6,
        "takeover_seconds": taken_over - started,
        "fds": fds,
    }


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a plain poll
        await asyncio.sleep(0.005)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    typer.run(main)
