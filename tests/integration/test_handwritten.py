"""What Guardstream is measured against must do the same job, or the measure says nothing."""

import asyncio
import signal
import sys
import uuid
from contextlib import asynccontextmanager

import orjson
import pytest
from aiohttp import web

from tests.integration.harness import event, produce, read
from worker.adapters.kafka.connection import create_topics
from worker.adapters.kafka.reader import committed_offsets
from worker.domain.records import OutgoingRecord

pytestmark = pytest.mark.integration

_COMPLETION = """# Task 1
## Reasoning Step 1
The user asks for bread.
## Conclusion
The request is unharmful.
Answers:
Request: unharmful
Completion: compliance
Response: unharmful
"""


@asynccontextmanager
async def _endpoint():
    """An OpenAI-compatible server; what it is asked, and where it listens."""
    asked = []

    async def complete(request):
        body = orjson.loads(await request.read())
        if "too long" in body["prompt"]:
            return web.json_response({"error": "too long"}, status=400)
        asked.append(body)
        return web.json_response(
            {
                "choices": [{"text": _COMPLETION, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 5},
            }
        )

    app = web.Application()
    app.router.add_post("/v1/completions", complete)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield asked, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _start(bootstrap_servers, name, url, *, guarantee="at_least_once"):
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.contenders.handwritten"),
        *("--bootstrap-servers", bootstrap_servers, "--guarantee", guarantee),
        *("--input", f"events-{name}", "--output", f"verdicts-{name}", "--dead", f"dead-{name}"),
        *("--group", name, "--engine-url", url, "--model", "m", "--batch-size", "8"),
        stderr=asyncio.subprocess.PIPE,
    )


async def test_the_hand_written_worker_gives_each_record_its_outcome_and_commits(
    bootstrap_servers, connection
):
    name = uuid.uuid4().hex[:8]
    topic = f"events-{name}"
    await create_topics(connection, [topic, f"verdicts-{name}", f"dead-{name}"], partitions=2)
    records = [event(topic, str(n), response="Warm.") for n in range(30)]
    malformed = OutgoingRecord(topic, b"bad", b'{"prompt": ', ())
    refused = event(topic, "refused", prompt="too long for this engine")
    await produce(connection, topic, [*records[:10], malformed, *records[10:], refused])
    async with _endpoint() as (asked, url):
        process = await _start(bootstrap_servers, name, url)
        verdicts = await read(connection, [f"verdicts-{name}"], 30)
        dead = await read(connection, [f"dead-{name}"], 2)
        process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    values = [orjson.loads(verdict.value) for verdict in verdicts]
    assert {value["event_id"] for value in values} == {str(n) for n in range(30)}
    assert {value["response_refusal"]["label"] for value in values} == {"compliance"}
    assert {letter.value for letter in dead} == {malformed.value, refused.value}
    assert len(asked) == 30
    assert all(body["temperature"] == 0.0 and body["model"] == "m" for body in asked)
    for where, committed, end in await committed_offsets(connection, topic, name):
        assert (committed or 0) == end, where


async def test_the_hand_written_worker_commits_nothing_of_a_batch_that_failed(
    bootstrap_servers, connection
):
    name = uuid.uuid4().hex[:8]
    topic = f"events-{name}"
    await create_topics(connection, [topic, f"verdicts-{name}", f"dead-{name}"], partitions=1)
    await produce(connection, topic, [event(topic, str(n)) for n in range(4)])
    process = await _start(bootstrap_servers, name, "http://127.0.0.1:9")
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"The hand-written worker ends (ClientConnectorError)" in said
    assert [c for _, c, _ in await committed_offsets(connection, topic, name)] == [None]


async def test_the_hand_written_worker_refuses_what_it_cannot_promise():
    process = await _start("127.0.0.1:9", "none", "http://127.0.0.1:9", guarantee="exactly_once")
    _, said = await process.communicate()
    assert process.returncode == 2
    assert said.decode().count("\n") == 1
    assert "exactly_once" in said.decode()
