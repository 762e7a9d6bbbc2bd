"""The usual hand-written worker: a static batch, HTTP to `vllm serve`, a commit after the batch.

It is written as well as such workers are: a batch that fills the engine, prompts in flight all at
once over connections kept alive, each verdict sent as soon as it is there. What it does to a record
except the request for the completion is Guardstream's own code: both decode, render, read and
encode alike, so that only the way of the record differs.
"""

import asyncio
import logging
import signal
import sys
import time
from dataclasses import dataclass
from typing import Annotated, Any

import aiohttp
import orjson
import typer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from benchmarks.contenders.work import conclude, record_of
from worker.decoding.events import decode_event
from worker.domain.engines import Completion, EngineReference, Usage
from worker.domain.errors import InvalidRequest, RecordError
from worker.domain.events import judged_exchange
from worker.domain.records import OutgoingRecord
from worker.domain.verdicts import GuardReference
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.guards.guardreasoner.prompt import render

logger = logging.getLogger(__name__)

_POLL_MS = 200
_REFUSED = (400, 413, 422)


@dataclass(frozen=True, slots=True)
class Engine:
    """Where completions come from, and what is asked for.

    Attributes:
        prefix: precedes the prompt, for a tokenizer that adds no begin-of-text itself.
    """

    url: str
    model: str
    max_tokens: int
    prefix: str


class HandWritten:
    """The worker.

    Args:
        batch_size: records of one batch; what the engine runs at once.
    """

    def __init__(
        self,
        *,
        consumer: Any,
        producer: Any,
        engine: Engine,
        output: str,
        dead: str,
        batch_size: int,
    ) -> None:
        self._consumer = consumer
        self._producer = producer
        self._engine = engine
        self._output = output
        self._dead = dead
        self._batch_size = batch_size
        self._guard = GuardReasoner()
        self._reference = GuardReference(
            self._guard.name, engine.model, None, self._guard.prompt_sha256
        )
        self._stopping = False

    def stop(self) -> None:
        """Finish the current batch, and exit."""
        self._stopping = True

    async def run(self) -> None:
        """Batch after batch until stopped.

        Raises:
            aiohttp.ClientError: the engine cannot be reached, or fails.
            KafkaError: the brokers do.
        """
        connector = aiohttp.TCPConnector(limit=self._batch_size, keepalive_timeout=3)
        timeout = aiohttp.ClientTimeout(total=600)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            while not self._stopping:
                polled = await self._consumer.getmany(
                    timeout_ms=_POLL_MS, max_records=self._batch_size
                )
                batch = [record for records in polled.values() for record in records]
                if not batch:
                    continue
                received_at = time.time()
                await asyncio.gather(*(self._handle(session, r, received_at) for r in batch))
                positions = {
                    TopicPartition(p.topic, p.partition): records[-1].offset + 1
                    for p, records in polled.items()
                }
                try:
                    await self._consumer.commit(positions)
                except (CommitFailedError, IllegalStateError):
                    logger.warning("The group was rebalanced; this batch is judged again.")

    async def _handle(
        self, session: aiohttp.ClientSession, theirs: Any, received_at: float
    ) -> None:
        if theirs.value is None:
            return
        try:
            outgoing = await self._judge(session, theirs, received_at)
        except RecordError as error:
            headers = (*theirs.headers, ("error", str(error).encode()))
            outgoing = OutgoingRecord(self._dead, theirs.key, theirs.value, headers)
        await self._producer.send_and_wait(
            outgoing.topic,
            key=outgoing.key,
            value=outgoing.value,
            headers=list(outgoing.headers),
        )

    async def _judge(
        self, session: aiohttp.ClientSession, theirs: Any, received_at: float
    ) -> OutgoingRecord:
        event = decode_event(theirs.value, dict(theirs.headers))
        exchange = judged_exchange(event)
        text = self._engine.prefix + render(exchange.prompt, exchange.response).text
        answer = await self._complete(session, text)
        choice, usage = answer["choices"][0], answer["usage"]
        return conclude(
            record_of(theirs, received_at),
            event,
            exchange,
            Completion(
                choice["text"],
                "length" if choice["finish_reason"] == "length" else "stop",
                Usage(usage["prompt_tokens"], usage["completion_tokens"], 0),
            ),
            reference=self._reference,
            engine=EngineReference("http", ""),
            flags=(),
            topic=self._output,
        )

    async def _complete(self, session: aiohttp.ClientSession, text: str) -> dict[str, Any]:
        body = {
            "model": self._engine.model,
            "prompt": text,
            "max_tokens": self._engine.max_tokens,
            "temperature": 0.0,
        }
        async with session.post(
            f"{self._engine.url.rstrip('/')}/v1/completions",
            data=orjson.dumps(body),
            headers={"content-type": "application/json"},
        ) as response:
            content = await response.read()
            if response.status in _REFUSED:
                raise InvalidRequest("The engine refuses this prompt.")
            response.raise_for_status()
            answer: dict[str, Any] = orjson.loads(content)
            return answer


def main(
    bootstrap_servers: Annotated[str, typer.Option()],
    input_topic: Annotated[str, typer.Option("--input")],
    output: Annotated[str, typer.Option(help="The topic of verdicts.")],
    dead: Annotated[str, typer.Option(help="The topic of what is no event.")],
    group: Annotated[str, typer.Option()],
    guarantee: Annotated[str, typer.Option(help="at_least_once or exactly_once.")],
    engine_url: Annotated[str, typer.Option(help="Of an OpenAI-compatible server, without /v1.")],
    model: Annotated[str, typer.Option(help="As the server calls it.")] = "guard",
    batch_size: Annotated[int, typer.Option(help="What the engine runs at once.")] = 256,
    max_tokens: Annotated[int, typer.Option(help="Of a completion.")] = 2048,
    prefix: Annotated[str, typer.Option(help="Before each prompt.")] = "",
) -> None:
    """Judge the records of a topic until SIGTERM."""
    if guarantee != "at_least_once":
        typer.echo(
            f"The hand-written worker cannot do {guarantee}: it commits after it has published;"
            " ask it for at_least_once.",
            err=True,
        )
        raise typer.Exit(2)
    engine = Engine(engine_url, model, max_tokens, prefix)
    try:
        asyncio.run(_run(bootstrap_servers, input_topic, output, dead, group, batch_size, engine))
    except (aiohttp.ClientError, KafkaError, TimeoutError, OSError) as error:
        typer.echo(f"The hand-written worker ends ({type(error).__name__}): {error}", err=True)
        sys.exit(1)


async def _run(
    bootstrap_servers: str,
    topic: str,
    output: str,
    dead: str,
    group: str,
    batch_size: int,
    engine: Engine,
) -> None:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, enable_idempotence=True)
    worker = HandWritten(
        consumer=consumer,
        producer=producer,
        engine=engine,
        output=output,
        dead=dead,
        batch_size=batch_size,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    try:
        await producer.start()
        await consumer.start()
        await worker.run()
    finally:
        await consumer.stop()
        await producer.stop()


if __name__ == "__main__":
    typer.run(main)
