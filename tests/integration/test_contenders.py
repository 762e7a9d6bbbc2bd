"""Whoever is measured beside the worker does the same work, and loses nothing."""

import asyncio
import uuid

import orjson
import pytest

from benchmarks.contenders import CONTENDERS, quix_venv
from benchmarks.contenders.contract import Order
from benchmarks.contenders.work import Work
from benchmarks.processes import Process, run_until_exit
from benchmarks.sized_events import sized_values
from benchmarks.topics import fill
from tests.integration.harness import read
from worker.adapters.kafka.connection import create_topics
from worker.adapters.kafka.reader import committed_offsets

pytestmark = pytest.mark.integration

_EVENTS, _BAD = 40, 17
_CASES = [
    (name, guarantee)
    for name, contender in CONTENDERS.items()
    if not contender.needs_endpoint
    for guarantee in contender.guarantees
]


@pytest.fixture
async def order(connection, guarantee):
    """An input of two partitions with one value among its events that is no event."""
    name = uuid.uuid4().hex[:8]
    topics = [f"bus-{name}", f"bus-verdicts-{name}", f"bus-dead-{name}"]
    values = sized_values(_EVENTS, 512, "prompt")
    values[_BAD] = b'{"id": "17", "prompt": 7}'
    await fill(connection, topics[0], values, partitions=2)
    await create_topics(connection, topics[1:], partitions=2)
    return Order(connection.bootstrap_servers, *topics, f"bus-group-{name}", guarantee)


@pytest.fixture
async def contender(name):
    if name == "faststream":
        pytest.importorskip("faststream", reason="`make bench` installs it")
    if name == "quix" and not quix_venv.PYTHON.exists():
        pytest.skip("`make bench` makes its venv")
    return CONTENDERS[name]


async def run_to_the_end(contender, order, connection, folder):
    command = [*contender.command, *order.arguments()]
    async with Process(contender.title, command, folder / "words.log") as process:
        # an outcome is there before its offset is committed, so this ends with all of both
        outcomes = await read(connection, [order.output, order.dead], _EVENTS)
        async with asyncio.timeout(60):
            while any(c != end for _, c, end in await offsets(connection, order)):
                process.require_running()
    return outcomes


async def offsets(connection, order):
    return await committed_offsets(connection, order.input, order.group)


def said(record):
    """A verdict without the times at which it was made."""
    verdict = orjson.loads(record.value)
    return {k: v for k, v in verdict.items() if k not in ("received_at", "judged_at")}


@pytest.mark.parametrize(("name", "guarantee"), [case for case in _CASES if case[0] != "copy"])
async def test_contender_judges_all_events_and_buries_the_bad_one(
    contender, order, connection, tmp_path
):
    outcomes = await run_to_the_end(contender, order, connection, tmp_path)

    source = {r.key: r for r in await read(connection, [order.input], _EVENTS)}
    dead = [record for record in outcomes if record.partition.topic == order.dead]
    assert [(r.key, r.value) for r in dead] == [(b"17", source[b"17"].value)]
    assert dict(dead[0].headers)["guardstream.error"] == b"NotAnEvent"

    work = Work(output=order.output, dead=order.dead, group=order.group)
    made = {o.key: o for o in work.outcomes(list(source.values())) if o.topic == order.output}
    verdicts = {r.key: r for r in outcomes if r.partition.topic == order.output}
    assert len(verdicts) == _EVENTS - 1
    assert {k: said(r) for k, r in verdicts.items()} == {k: said(o) for k, o in made.items()}
    for key, record in verdicts.items():
        # some add headers of their own
        assert dict(made[key].headers).items() <= dict(record.headers).items()


@pytest.mark.parametrize(("name", "guarantee"), [case for case in _CASES if case[0] == "copy"])
async def test_the_copying_loop_moves_the_bytes_as_they_are(contender, order, connection, tmp_path):
    outcomes = await run_to_the_end(contender, order, connection, tmp_path)

    source = await read(connection, [order.input], _EVENTS)
    assert {r.key: r.value for r in outcomes} == {r.key: r.value for r in source}


@pytest.mark.parametrize("name", ["faststream"])
@pytest.mark.parametrize("guarantee", ["exactly_once"])
async def test_contender_refuses_a_guarantee_that_it_cannot_keep(contender, order):
    status, words = await run_until_exit([*contender.command, *order.arguments()])

    assert (status, words) == (
        2,
        "FastStream cannot commit inputs and outputs in one transaction.",
    )
