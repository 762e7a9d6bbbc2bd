"""One contender through one topic: how fast, at what CPU, and whether all came through."""

import asyncio
import re
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from benchmarks.bus.counting import Input, Outcome, figures_of
from benchmarks.contenders import Contender
from benchmarks.contenders.contract import Guarantee, Order
from benchmarks.processes import Process, ProcessFailed
from worker.adapters.kafka.connection import Connection, create_topics
from worker.adapters.kafka.reader import held_offsets, read_ranges

_OUTPUT_PARTITIONS = 8
_METER_SECONDS = 0.05
_ASK_SECONDS = 0.25
_PATIENCE_SECONDS = 120.0
# the exit status of a Java program after SIGTERM
_ENDED = (0, 128 + signal.SIGTERM)
_ENDPOINT = re.compile(r"listening on (http://\S+)")


async def run_trial(
    contender: Contender, guarantee: Guarantee, source: Input, connection: Connection
) -> dict[str, Any]:
    """Start it, wait until the group has committed all of the input, end it, and look.

    Start and warm-up do not count: time and CPU are those between the moment when the broker had a
    fifth of the outcomes and the moment when it had the last.

    Raises:
        ProcessFailed: it ended, or did not get through.
    """
    name = f"{source.topic}-{uuid.uuid4().hex[:8]}"
    order = Order(
        bootstrap_servers=connection.bootstrap_servers,
        input=source.topic,
        output=f"{name}-verdicts",
        dead=f"{name}-dead",
        group=name,
        guarantee=guarantee,
    )
    await create_topics(
        connection,
        [order.output, order.dead],
        partitions=_OUTPUT_PARTITIONS,
        # LogAppendTime: the broker's clock, independent of the client
        message_timestamp_type="LogAppendTime",
    )
    folder = Path(tempfile.mkdtemp(prefix="guardstream-bus-"))
    async with AsyncExitStack() as stack:
        processes = []
        if contender.needs_endpoint:
            endpoint, url = await stack.enter_async_context(_endpoint(folder / "endpoint.log"))
            processes.append(endpoint)
            order = replace(order, engine_url=url)
        command = [*contender.command, *order.arguments()]
        moving = Process(contender.title, command, folder / "contender.log")
        stack.callback(moving.kill)
        moving.start()
        processes.append(moving)
        uncommitted = await _until_committed(processes, order, source, connection)
        for process in processes:
            process.meter.read()
        await moving.stop(_ENDED)
    found = await _read_outcomes(connection, order)
    if not found:
        raise ProcessFailed(f"{contender.title} put nothing out; see {moving.log}.")
    figures = figures_of([process.meter for process in processes], found, source)
    shutil.rmtree(folder)
    return figures | {"guarantee": guarantee, "uncommitted": uncommitted}


@asynccontextmanager
async def _endpoint(log: Path) -> AsyncIterator[tuple[Process, str]]:
    command = [sys.executable, "-u", "-m", "benchmarks.endpoint"]
    async with Process("the endpoint", command, log) as process:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not (said := _ENDPOINT.search(log.read_text())):  # noqa: ASYNC240 - a line
                process.require_running()
                await asyncio.sleep(_METER_SECONDS)
        yield process, said[1]


async def _until_committed(
    processes: list[Process], order: Order, source: Input, connection: Connection
) -> int:
    """Read the meters until nothing is uncommitted; returns how much is, after a timeout."""
    admin = AIOKafkaAdminClient(**connection.arguments())
    await admin.start()
    metering = asyncio.create_task(_meter(processes))
    try:
        left = source.events
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while left:
                    await asyncio.sleep(_ASK_SECONDS)
                    for process in processes:
                        process.require_running()
                    left = source.events - await _committed(admin, order)
        except TimeoutError:
            if left == source.events:
                raise ProcessFailed(
                    f"{processes[-1].name} committed nothing; see {processes[-1].log}."
                ) from None
        return left
    finally:
        metering.cancel()
        await asyncio.gather(metering, return_exceptions=True)
        await admin.close()


async def _meter(processes: list[Process]) -> None:
    while True:
        for process in processes:
            process.meter.read()
        await asyncio.sleep(_METER_SECONDS)


async def _committed(admin: AIOKafkaAdminClient, order: Order) -> int:
    """How many records of the input are committed; it holds no gaps."""
    try:
        offsets = await admin.list_consumer_group_offsets(order.group)
    except GroupCoordinatorNotAvailableError:
        return 0  # the first group of a broker makes it create the topic of offsets
    return sum(
        max(found.offset, 0) for where, found in offsets.items() if where.topic == order.input
    )


async def _read_outcomes(connection: Connection, order: Order) -> list[Outcome]:
    """Every outcome that a consumer sees."""
    return [
        Outcome(record.key, record.timestamp_ms / 1000)
        for topic in (order.output, order.dead)
        async for record in read_ranges(connection, await held_offsets(connection, topic))
    ]
