"""The real engine with the guard that ships, through the real broker."""

import asyncio
import json
import math
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
import pytest_asyncio

from tests.collector import Collector
from tests.contract.engines import keeps_its_promises
from training.exchanges import compose
from worker.adapters.kafka.publisher import KafkaPublisher
from worker.adapters.kafka.reader import read_topics
from worker.domain.engines import EngineRequest
from worker.domain.events import Exchange
from worker.domain.questions import STANDARD_QUESTIONS, STANDARD_TASKS, standard
from worker.domain.records import OutgoingRecord
from worker.evaluation.scoring import Tally, strict
from worker.guards.guardreasoner.cascade import ScoringPlan
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.guards.guardreasoner.reasoning import ReasoningPlan
from worker.guards.guardreasoner.repair import Repair
from worker.runtime.build import Judging, build_judging
from worker.runtime.engines import DEMONSTRATION, demonstration_model
from worker.runtime.guards import build_guard
from worker.runtime.settings import load_settings
from worker.runtime.worker import Worker

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.integration,
    pytest.mark.timeout(2400),
    # torch and vllm warn of themselves
    pytest.mark.filterwarnings("default"),
]
# one engine for both, which belongs to the loop that it was started in
in_the_engines_loop = pytest.mark.asyncio(loop_scope="module")

COUNT = 300
TRACE_ID = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")


class Shared(NamedTuple):
    judging: Judging
    engine: dict[str, Any]
    telemetry: dict[str, Any]
    collector: Collector


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared():
    """An engine that runs, its settings, and the collector that it reports to."""
    async with Collector() as collector:
        # a busy machine is no failure of the engine, which would give dead letters
        patience = {"request_timeout_seconds": 1200.0, "stall_seconds": 1200.0}
        engine = {"kind": "vllm", "model": DEMONSTRATION, **patience}
        telemetry = {"otlp_endpoint": collector.endpoint, "push_seconds": 1}
        judging = build_judging(load_settings(engine=engine, telemetry=telemetry))
        await judging.start()
        try:
            yield Shared(judging, engine, telemetry, collector)
        finally:
            await judging.stop()


@in_the_engines_loop
async def test_vllm_keeps_an_engines_promises(shared):
    settings = load_settings(engine=shared.engine)
    await keeps_its_promises(shared.judging.engine, settings)


@in_the_engines_loop
async def test_labels_agree_with_what_is_known_and_vllm_joins_the_trace(
    kafka_settings, connection, shared
):
    collector = shared.collector
    verdicts, examples = await judged(kafka_settings, connection, shared)
    agree(verdicts, examples)
    vllms = [span for span in collector.spans["llm_request"] if span.trace_id == TRACE_ID]
    # a repair is a request of its own
    assert len(vllms) == requests(verdicts) >= COUNT
    for span in vllms:
        assert span.parent_span_id in {c.span_id for c in collector.spans[f"chat {DEMONSTRATION}"]}
    ours = {"vllm:num_requests_running", "guardstream.verdict.age"}
    async with asyncio.timeout(60):
        while not ours <= set(collector.metrics):
            await asyncio.sleep(0.1)


def requests(verdicts):
    return sum(one["usage"]["requests"] for one in verdicts.values())


def spans_of_the_trace(collector, name):
    return sum(span.trace_id == TRACE_ID for span in collector.spans[name])


async def judged(kafka_settings, connection, shared):
    """Verdicts on held-out exchanges, by number, and the exchanges."""
    settings = await kafka_settings(partitions=2, engine=shared.engine, telemetry=shared.telemetry)
    topic = settings.input.topics[0]
    # another seed than the card's: held-out templates, other samples
    examples = compose("held_out", COUNT, 4)
    publisher = KafkaPublisher(connection, topics=[topic])
    await publisher.start()
    await publisher.publish_all(
        [
            OutgoingRecord(
                topic,
                str(n).encode(),
                orjson.dumps({"id": str(n), "prompt": e.prompt, "response": e.response}),
                (("traceparent", f"00-{TRACE_ID.hex()}-{n + 1:016x}-01".encode()),),
            )
            for n, e in enumerate(examples)
        ]
    )
    await publisher.stop()
    worker = Worker(settings, shared.judging)
    running = asyncio.create_task(worker.run())
    verdicts = {}
    reader = read_topics(connection, [settings.output.verdict_topic], from_beginning=True)
    # a minute on two free cores
    async with asyncio.timeout(1500):
        while len(verdicts) < COUNT:
            assert not worker.outcomes["dead_letter"]
            verdict = orjson.loads((await anext(reader)).value)
            verdicts[int(verdict["event_id"])] = verdict
    await reader.aclose()
    worker.stop()
    await running
    # our exporter and vLLM's each have an interval
    for name in ("llm_request", f"chat {DEMONSTRATION}"):
        async with asyncio.timeout(60):
            while spans_of_the_trace(shared.collector, name) < requests(verdicts):
                await asyncio.sleep(0.1)
    return verdicts, examples


def agree(verdicts, examples):
    """Compare labels with what is known, and look at what goes with them."""
    tally = Tally(STANDARD_QUESTIONS)
    for n, example in enumerate(examples):
        verdict = verdicts[n]
        assert verdict["engine"]["name"] == "vllm"
        assert verdict["usage"]["completion_tokens"] > 0
        tally.add(example.labels, {task: verdict[task]["label"] for task in STANDARD_TASKS})
        if example.response is None:
            assert verdict["response_refusal"]["label"] is None
            assert verdict["response_harmfulness"]["label"] is None
        if verdict["status"] == "complete":
            assert verdict["reasoning"][0]["task"] == "prompt_harmfulness"
            assert all(section["steps"] for section in verdict["reasoning"])
    card = json.loads((Path(demonstration_model()) / "metrics.json").read_text())
    for task in STANDARD_TASKS:
        # about four standard errors of an F1 near 0.97 over 300 exchanges
        f1 = strict(tally.confusion(standard(task))).f1
        assert f1 > card["held_out"]["f1"][task] - 0.04, task
    assert any(verdict["usage"]["cached_tokens"] for verdict in verdicts.values())


@in_the_engines_loop
async def test_what_is_cut_off_is_repaired_on_the_cached_prefix(shared, monkeypatch):
    asker, block = shared.judging.judge._asker, 32
    asking = GuardReasoner(reasoning=ReasoningPlan(repair=Repair()))

    def begin(number, example):
        exchange = Exchange(example.prompt, example.response)
        # at any place, sometimes before the first word of reasoning
        cut = partial(EngineRequest, max_tokens=1 + 7 * number)
        monkeypatch.setattr("worker.guards.guardreasoner.reasoning.EngineRequest", cut)
        judging = asking.judge(exchange)
        request = next(judging)
        monkeypatch.undo()
        return exchange, judging, request

    async def end(number, exchange, judging, request):
        (ids,) = await asker.tokenizer.encode([request.prompt], 4096)
        about = f"cut {number}"
        return exchange, await asker.ask(judging, request, ids, exchange=exchange, about=about)

    begun = [begin(n, one) for n, one in enumerate(compose("held_out", 12, 9))]
    ended = await asyncio.gather(*(end(n, *one) for n, one in enumerate(begun)))
    for exchange, answer in ended:
        first, *forced = answer.completions
        assert first.finish_reason == "length"
        tasks = STANDARD_TASKS[: 3 if exchange.response is not None else 1]
        assert len(forced) == len(tasks)
        assert answer.judgement.readings.keys() == set(tasks)
        for reading in answer.judgement.readings.values():
            assert (reading.source == "repair") == (reading.label is not None)
        for one in forced:
            assert one.usage.cached_tokens >= (one.usage.prompt_tokens // block - 1) * block
            assert sum(map(math.exp, one.logprobs[0].values())) <= 1 + 1e-6


@in_the_engines_loop
async def test_reasoning_after_a_score_computes_no_prompt_again(shared):
    asker, block = shared.judging.judge._asker, 32
    guard = GuardReasoner(
        reasoning=ReasoningPlan(repair=Repair(), scored=True),
        scoring=ScoringPlan("unsure", audit_share=1.0),
    )

    async def judge(number, example):
        exchange = Exchange(example.prompt, example.response)
        asking = guard.judge(exchange)
        request = next(asking)
        (ids,) = await asker.tokenizer.encode([request.prompt], 4096)
        about = f"staged {number}"
        return exchange, await asker.ask(asking, request, ids, exchange=exchange, about=about)

    examples = compose("held_out", 40, 11)
    judged = await asyncio.gather(*(judge(n, one) for n, one in enumerate(examples)))
    repaired = 0
    for exchange, answer in judged:
        score, reasoning, *answers = answer.completions
        assert len(score.logprobs) == (1 if exchange.response is None else 3)
        assert score.usage.completion_tokens <= 32
        assert reasoning.usage.cached_tokens >= (reasoning.usage.prompt_tokens - 1) // block * block
        for one in answers:
            # the last token of a completion was never computed, and can be the last of a block
            assert one.usage.cached_tokens >= (one.usage.prompt_tokens // block - 1) * block
        stages = {one.stage for one in answer.judgement.scores}
        # a completion that had to be repaired has no scores of its own
        is_repaired = "repaired" in answer.judgement.flags
        assert stages == ({"first"} if is_repaired else {"first", "reasoned"})
        repaired += is_repaired
        assert answer.judgement.reasoned
        assert answer.judgement.status == "complete"
    assert repaired < len(examples) / 4


@in_the_engines_loop
async def test_the_calibration_that_ships_judges_for_a_fraction_of_the_tokens(shared):
    """The guard that ships, with its calibration, on exchanges that neither was made of."""
    asker = shared.judging.judge._asker
    settings = load_settings(engine=shared.engine, judging={"reasoning": "unsure"})
    built = build_guard(settings)
    built.require_match(built.reference(settings), shared.judging.judge.engine_reference)

    async def judge(number, example):
        exchange = Exchange(example.prompt, example.response)
        asking = built.guard.judge(exchange)
        request = next(asking)
        (ids,) = await asker.tokenizer.encode([request.prompt], 4096)
        about = f"calibrated {number}"
        return await asker.ask(asking, request, ids, exchange=exchange, about=about)

    examples = compose("held_out", 200, 12)
    answers = await asyncio.gather(*(judge(n, one) for n, one in enumerate(examples)))
    tally = Tally(STANDARD_QUESTIONS)
    for example, answer in zip(examples, answers, strict=True):
        readings = answer.judgement.readings
        tally.add(example.labels, {task: one.label for task, one in readings.items()})
        assert answer.judgement.status == "complete"
        assert all(one.score is not None for one in readings.values())
    card = json.loads((Path(demonstration_model()) / "metrics.json").read_text())
    for task in STANDARD_TASKS:
        f1 = strict(tally.confusion(standard(task))).f1
        assert f1 > card["held_out"]["f1"][task] - 0.05, task
    reasoned = sum(answer.judgement.reasoned for answer in answers)
    assert 0 < reasoned < len(answers) / 4
    assert sum(answer.usage.completion_tokens for answer in answers) < 40 * len(answers)


def test_the_card_was_made_with_the_prompt_that_ships():
    card = json.loads((Path(demonstration_model()) / "metrics.json").read_text())
    assert card["recipe"]["prompt_sha256"] == GuardReasoner().prompt_sha256
