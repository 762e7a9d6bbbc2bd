"""`guardstream produce`, as a person and as a program use it."""

import asyncio
import sys
import tracemalloc
import uuid

import pytest
import typer.testing

from worker.adapters.kafka.connection import create_topics
from worker.adapters.kafka.publisher import KafkaPublisher
from worker.adapters.kafka.reader import held_offsets, read_ranges
from worker.cli import app, register
from worker.domain.errors import BusUnavailable, Retriable

pytestmark = pytest.mark.integration


async def test_a_file_and_stdin_are_produced_without_noise(connection, tmp_path):
    topic = f"produced-{uuid.uuid4().hex[:8]}"
    await create_topics(connection, [topic], partitions=1)
    lines = [b'{"id": "%d"}' % n for n in range(1200)]
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\r\n".join([*lines, b"", b"  "]))

    for argument, given in ((str(file), None), ("-", b'{"id": "last"}')):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker", "produce", argument, "--topic", topic),
            env={"GUARDSTREAM_KAFKA__BOOTSTRAP_SERVERS": connection.bootstrap_servers},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, said = await process.communicate(given)
        count = 1 if given else 1200
        assert (out, said.decode()) == (b"", f"Produced {count} events to {topic}.\n")

    ranges = await held_offsets(connection, topic)
    values = [record.value async for record in read_ranges(connection, ranges)]
    assert values == [*lines, b'{"id": "last"}']


class NoPublisher(KafkaPublisher):
    """Takes some chunks, and keeps none."""

    takes = 10**9

    async def start(self): ...

    async def publish_all(self, _records):
        type(self).takes -= 1
        if self.takes < 0:
            raise Retriable("1 of 500 records were not acknowledged.")


@pytest.fixture
def produce(monkeypatch, tmp_path):
    register()
    monkeypatch.setattr("worker.adapters.kafka.publisher.KafkaPublisher", NoPublisher)
    file = tmp_path / "events.jsonl"
    file.write_bytes(b'{"prompt": "%s"}\n' % (b"x" * 1000) * 20_000)

    def run(takes):
        monkeypatch.setattr(NoPublisher, "takes", takes)
        return typer.testing.CliRunner().invoke(app, ["produce", str(file)])

    return run


def test_what_is_not_acknowledged_is_a_failure_and_no_usage_error(produce):
    error = produce(takes=2).exception
    assert isinstance(error, BusUnavailable)  # `main` says it and exits 1
    assert "failed after 1000 events" in str(error)


def test_a_large_file_is_not_held_in_memory(produce):
    produce(takes=0)  # imports
    tracemalloc.start()
    try:
        assert produce(takes=10**9).exit_code == 0
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
