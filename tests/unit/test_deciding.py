"""Decisions in the worker: with their verdicts, by the policy, and never in a record's way."""

import orjson
import pytest
from opentelemetry.sdk.trace import TracerProvider

from tests.unit.harness import INPUT, WorkerHarness
from tests.unit.policy.policies import policy, rule
from worker.decoding.decoder import EventDecoder
from worker.domain.decisions import decision_id
from worker.operator.schemas import documents
from worker.policy.judged import read_judged
from worker.policy.policy import load_policy
from worker.telemetry.tracing import Tracing

COUNT = 30
BY_LABEL = (
    rule('response.label == "harmful"', "block", name="harmful-response"),
    rule('prompt.label == "harmful"', "log", name="harmful-prompt"),
)


@pytest.fixture(params=["at_least_once", "exactly_once"])
def build(request):
    def make(*args, **kwargs):
        harness = WorkerHarness(request.param, *args, drain_seconds=0.05, **kwargs)
        # so that rules decide
        harness.engine.flags = ()
        return harness

    return make


def of(made):
    return lambda: made


def send(harness, count=COUNT, **fields):
    for n in range(count):
        # the simulated engine's answer depends on how many words there are
        event = {"id": str(n), "prompt": "hello " * (n + 1), "response": "there", **fields}
        harness.bus.append("events", value=orjson.dumps(event))


async def settled(harness, count=COUNT):
    async with harness.running():
        await harness.until(lambda: harness.bus.committed.get(INPUT) == count)
    assert harness.pipeline.trouble() is None


def values(harness, topic):
    return [orjson.loads(record.value) for record in harness.bus.topic(topic)]


def metric(harness, name, **labels):
    return harness.telemetry.registry.get_sample_value(f"guardstream_{name}", labels)


def timeless(decision):
    return {name: value for name, value in decision.items() if name != "decided_at"}


def decided_later(made, verdicts):
    """What `guardstream decide` makes of stored verdicts."""
    return [orjson.loads(orjson.dumps(made.decide(read_judged(one), 0.0))) for one in verdicts]


FAILING = policy(*BY_LABEL, rule("prompt.score > 0.5"), on_error="allow")


@pytest.mark.parametrize("made", [FAILING, load_policy()], ids=["failing", "starter"])
async def test_stored_verdicts_are_decided_as_the_worker_did(build, made):
    harness = build(policy=of(made))
    send(harness, user_id="u", tenant="t", conversation_id="c")
    await settled(harness)
    verdicts, decisions = values(harness, "verdicts"), values(harness, "decisions")
    again = {one["verdict_id"]: timeless(one) for one in decided_later(made, verdicts)}
    assert len(again) == len(decisions) == COUNT
    assert {one["verdict_id"]: timeless(one) for one in decisions} == again
    assert len({one["action"] for one in decisions}) > 1


async def test_a_decision_has_the_key_and_headers_of_its_verdict(build):
    made = policy(*BY_LABEL)
    harness = build(policy=of(made), cloudevents=True)
    value = orjson.dumps({"id": "e", "prompt": "hello"})
    harness.bus.append("events", value=value, key=b"k", headers=(("x-shard", b"7"),))
    await settled(harness, 1)
    (verdict,), (decision,) = harness.bus.topic("verdicts"), harness.bus.topic("decisions")
    held = orjson.loads(decision.value)
    assert verdict.key == decision.key == b"k"
    headers, of_verdict = dict(decision.headers), dict(verdict.headers)
    assert headers["guardstream.action"] == of_verdict["guardstream.action"]
    assert headers["guardstream.action"] == held["action"].encode()
    assert headers["guardstream.verdict_id"] == held["verdict_id"].encode()
    assert headers["guardstream.schema"] == headers["ce_type"].replace(b".decision.", b".decision/")
    assert headers["guardstream.schema"] == held["schema"].encode() == b"guardstream.decision/1"
    assert headers["ce_id"] == held["decision_id"].encode()
    assert headers["ce_time"] == held["decided_at"].encode()
    for name in ("x-shard", "guardstream.event_id", "content-type", "ce_subject", "ce_source"):
        assert headers[name] == of_verdict[name]
    assert held["decision_id"] == decision_id(held["verdict_id"], made.reference.sha256)


async def test_the_headers_are_those_of_the_contract(build):
    harness = build(policy=of(policy(*BY_LABEL)))
    send(harness, 1)
    harness.bus.append("events", value=b"no event")
    await settled(harness, 2)
    messages = documents()["asyncapi.yaml"]
    for topic in ("verdicts", "decisions"):
        (record,) = harness.bus.topic(topic)
        for name, _ in record.headers:
            assert f"{name}:" in messages
    (letter,) = harness.bus.topic("dead")
    assert '"guardstream.action"' in documents()["dead-letter-headers.schema.json"]
    assert "guardstream.action" in dict(letter.headers)


async def test_a_decision_without_a_key_has_that_of_its_verdict(build):
    harness = build(policy=of(policy()))
    send(harness, 1, conversation_id="c")
    await settled(harness, 1)
    (verdict,), (decision,) = harness.bus.topic("verdicts"), harness.bus.topic("decisions")
    assert verdict.key == decision.key == b"c"


async def test_a_decision_continues_the_trace_of_its_verdict(build):
    harness = build(policy=of(policy()), tracing=Tracing(TracerProvider().get_tracer("t")))
    send(harness, 1)
    await settled(harness, 1)
    (verdict,), (decision,) = harness.bus.topic("verdicts"), harness.bus.topic("decisions")
    trace = dict(verdict.headers)["traceparent"]
    assert dict(decision.headers)["traceparent"] == trace


async def test_a_dead_letter_has_the_action_for_events_without_a_verdict(build):
    harness = build(policy=of(policy(dead_letter="block")))
    harness.bus.append("events", value=b"no event", headers=(("guardstream.action", b"allow"),))
    await settled(harness, 1)
    (letter,) = harness.bus.topic("dead")
    # the first one is of the record, as it came
    assert [value for name, value in letter.headers if name == "guardstream.action"] == [
        b"allow",
        b"block",
    ]
    assert not harness.bus.topic("decisions")


async def test_the_action_of_an_input_record_is_not_that_of_its_verdict(build):
    for made in (None, of(policy(default="block"))):
        harness = build(policy=made)
        harness.bus.append(
            "events", value=b'{"prompt": "hi"}', headers=(("guardstream.action", b"allow"),)
        )
        await settled(harness, 1)
        (verdict,) = harness.bus.topic("verdicts")
        found = [value for name, value in verdict.headers if name == "guardstream.action"]
        assert found == ([] if made is None else [b"block"])


async def test_without_a_policy_nothing_is_decided(build):
    harness = build()
    send(harness)
    harness.bus.append("events", value=b"no event")
    await settled(harness, COUNT + 1)
    assert not harness.bus.topic("decisions")
    for record in (*harness.bus.topic("verdicts"), *harness.bus.topic("dead")):
        assert "guardstream.action" not in dict(record.headers)


async def test_each_exchange_of_a_record_has_its_decision(build):
    from tests.unit.test_several_exchanges import BATCH, batch  # noqa: PLC0415 - its fixtures

    harness = build(policy=of(policy(*BY_LABEL)), decoder=EventDecoder(mapping=BATCH))
    harness.bus.append("events", value=batch("a", "b", "c"), key=b"k")
    await settled(harness, 1)
    verdicts, decisions = values(harness, "verdicts"), values(harness, "decisions")
    assert len(decisions) == 3
    # each follows its verdict
    assert [one["verdict_id"] for one in decisions] == [one["verdict_id"] for one in verdicts]
    assert harness.pipeline.outcomes == {"verdict": 1}


async def test_a_repeated_verdict_has_the_same_decision():
    made = policy(*BY_LABEL)
    harness = WorkerHarness("at_least_once", policy=of(made))
    send(harness)
    await settled(harness)
    harness.bus.committed[INPUT] = 0
    again = WorkerHarness("at_least_once", bus=harness.bus, policy=of(made))
    await settled(again)
    decisions = values(again, "decisions")
    assert len(decisions) == 2 * COUNT
    assert len({one["decision_id"] for one in decisions}) == COUNT
    assert len({orjson.dumps(timeless(one)) for one in decisions}) == COUNT


async def test_a_shadow_policy_is_counted_and_changes_nothing(build):
    acting, shadow = policy(*BY_LABEL), policy(default="log")
    alone = build(policy=of(acting))
    both = build(policy=of(acting), shadow=of(shadow))
    for harness in (alone, both):
        send(harness)
        await settled(harness)
    for topic in ("verdicts", "decisions", "dead"):
        assert [(r.key, r.value, r.headers) for r in alone.bus.topic(topic)] == [
            (r.key, r.value, r.headers) for r in both.bus.topic(topic)
        ]
    actions = [one["action"] for one in values(both, "decisions")]
    assert {"log", "block"} <= set(actions)
    for action in set(actions):
        decided = metric(both, "decisions_total", policy="acting", action=action)
        assert decided == actions.count(action)
        differs = metric(both, "decisions_differ_total", action=action, shadow_action="log")
        assert differs == (None if action == "log" else actions.count(action))
    assert metric(both, "decisions_total", policy="shadow", action="log") == COUNT


async def test_a_shadow_policy_alone_decides_nothing(build):
    harness = build(shadow=of(policy(default="block")))
    send(harness)
    await settled(harness)
    assert not harness.bus.topic("decisions")
    assert "guardstream.action" not in dict(harness.bus.topic("verdicts")[0].headers)
    assert metric(harness, "decisions_total", policy="shadow", action="block") == COUNT


async def test_a_rule_that_fails_is_counted_and_fails_no_record(build):
    made = policy(rule("prompt.score > 0.5", name="scored"), on_error="block")
    harness = build(policy=of(made))
    send(harness)
    await settled(harness)
    decisions = values(harness, "decisions")
    assert {one["action"] for one in decisions} == {"block"}
    assert {tuple(one["errors"]) for one in decisions} == {("scored",)}
    assert not harness.bus.topic("dead")
    errors = metric(harness, "decisions_rule_errors_total", policy="acting", rule="scored")
    assert errors == len(decisions) == COUNT


async def test_not_even_a_policy_that_raises_fails_a_record(build, monkeypatch):
    made = policy(rule("true", "allow"), on_error="block")
    monkeypatch.setattr(made, "matches", lambda _: 1 / 0)
    harness = build(policy=of(made))
    send(harness)
    await settled(harness)
    assert {one["action"] for one in values(harness, "decisions")} == {"block"}
    assert len(harness.bus.topic("verdicts")) == COUNT


async def test_the_next_record_is_decided_by_the_policy_of_now(build):
    policies = [policy(version="1"), policy(version="2", default="block")]
    harness = build(policy=lambda: policies[0])
    send(harness, 1)
    async with harness.running():
        await harness.until(lambda: harness.bus.committed.get(INPUT) == 1)
        policies.pop(0)
        send(harness, 1)
        await harness.until(lambda: harness.bus.committed.get(INPUT) == 2)
    found = [(one["policy"]["version"], one["action"]) for one in values(harness, "decisions")]
    assert found == [("1", "allow"), ("2", "block")]
