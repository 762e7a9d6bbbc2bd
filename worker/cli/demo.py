"""`guardstream demo`: the complete pipeline on this machine, without an installation."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from typing import Annotated

import typer

from worker.cli import app, read_settings, run_async
from worker.domain.records import OutgoingRecord, Record

_TOPICS = {
    "input": "chat-events",
    "verdicts": "moderation-verdicts",
    "decisions": "moderation-decisions",
    "dead": "moderation-dead-letters",
}
_PARTITIONS = 3
_TIMEOUT_SECONDS = 300.0


@app.command()
def demo(
    simulated: Annotated[
        bool, typer.Option(help="Without vLLM: verdicts that judge nothing.")
    ] = False,
    mapping: Annotated[
        str,
        typer.Option(
            help="Produce the events as other programs log them, and read them by this preset:"
            " anthropic-messages, litellm or openai-chat."
        ),
    ] = "none",
) -> None:
    """A real broker, sample events, the small guard that ships: verdicts on the screen."""
    from worker.demo.shapes import SHAPES

    if mapping not in ("none", *SHAPES):
        raise typer.BadParameter(
            f"there are samples for {', '.join(SHAPES)}", param_hint="--mapping"
        )
    run_async(_demo("simulated" if simulated else "vllm", mapping))


async def _demo(kind: str, mapping: str) -> None:  # noqa: PLR0915 - a linear script
    from rich.console import Console

    from worker.adapters.kafka.connection import create_topics
    from worker.adapters.kafka.publisher import KafkaPublisher
    from worker.adapters.kafka.reader import committed_offsets, read_topics
    from worker.cli.views.verdicts import show_dead_letter, show_verdict
    from worker.demo.kafka.broker import Broker
    from worker.demo.samples import keyed, sample_lines
    from worker.demo.shapes import shaped
    from worker.policy.file import STARTER
    from worker.runtime.build import build_judging
    from worker.runtime.connection import build_connection
    from worker.runtime.engines import DEMONSTRATION
    from worker.runtime.settings import load_settings
    from worker.runtime.worker import Worker

    console = Console(soft_wrap=True)
    # keeps log lines out of the verdicts
    read_settings(log={"level": "warning"})
    lines = sample_lines()
    if mapping != "none":
        lines = [shaped(line, mapping) for line in lines]
    async with Broker(progress=lambda message: console.print(message, style="dim")) as broker:
        settings = load_settings(
            kafka={"bootstrap_servers": broker.bootstrap_servers},
            engine={"kind": kind, "model": DEMONSTRATION},
            health={"port": 0},
            input={"mapping": mapping},
            policy={"file": str(STARTER)},
        )
        connection = build_connection(settings)
        console.print(f"Apache Kafka listens on {broker.bootstrap_servers}.")
        await create_topics(connection, list(_TOPICS.values()), partitions=_PARTITIONS)
        publisher = KafkaPublisher(connection, topics=[_TOPICS["input"]])
        await publisher.start()
        events = [keyed(_TOPICS["input"], line) for line in lines]
        await publisher.publish_all(
            [*events, OutgoingRecord(_TOPICS["input"], b"erased", None, ())]
        )
        await publisher.stop()
        how = "" if mapping == "none" else f", in the shape of {mapping}"
        console.print(f"{len(events)} events and one tombstone are on {_TOPICS['input']}{how}.")
        judging = build_judging(settings)
        with console.status("vLLM loads the demonstration guard (about a minute on a CPU) …"):
            if not console.is_terminal:
                console.print("vLLM loads the demonstration guard (about a minute on a CPU) …")
            loading = time.monotonic()
            await judging.start()
        console.print(f"The engine is ready after {time.monotonic() - loading:.0f} s.\n")
        worker = Worker(settings, judging)
        started = time.monotonic()
        running = asyncio.create_task(worker.run())
        outcomes = read_topics(
            connection, [_TOPICS["verdicts"], _TOPICS["dead"]], from_beginning=True
        )
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                for _ in range(len(events)):
                    record = await _next_or_failure(anext(outcomes), running)
                    if record.partition.topic == _TOPICS["dead"]:
                        console.print(show_dead_letter(record.headers))
                    else:
                        console.print(show_verdict(record.value or b"", record.headers))
            seconds = time.monotonic() - started
        finally:
            worker.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            await outcomes.aclose()
            await judging.stop()
        counts = worker.outcomes
        console.print(
            f"\n{len(events)} events: {counts['verdict']} verdicts, {counts['dead_letter']} dead"
            f" letters, {counts['tombstone']} tombstone skipped; {len(events) / seconds:.1f}"
            " events/s."
        )
        for where, offset, end in await committed_offsets(
            connection, _TOPICS["input"], settings.input.group_id
        ):
            console.print(f"  {where}: committed {offset} of {end}", style="dim")
        console.print("These labels come from a tiny demonstration guard: do not rely on them.")


async def _next_or_failure(reading: Awaitable[Record], running: asyncio.Task[None]) -> Record:
    """The next record, unless the worker fails first."""
    waiting = asyncio.ensure_future(reading)
    await asyncio.wait({waiting, running}, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        waiting.cancel()
        await running
    return await waiting
