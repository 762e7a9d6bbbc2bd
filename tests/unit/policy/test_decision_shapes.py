"""The shapes of decisions: what other systems read, made from a decision and its verdict alone."""

import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.harness import WorkerHarness
from tests.unit.policy.policies import policy, rule
from worker.domain.engines import EngineReference, Usage
from worker.domain.judgements import NO_READING, Category, Reading, Reasoning
from worker.domain.verdict_records import SHAPE
from worker.domain.verdicts import GuardReference, Verdict, VerdictSource
from worker.policy.judged import judged
from worker.policy.shapes.choice import decision_shape
from worker.policy.shapes.names import ShapeName
from worker.policy.shapes.openai import CATEGORIES
from worker.policy.shapes.otel import EVENT
from worker.runtime.settings import load_settings

HERE = Path(__file__).parent / "shapes"
PAGE = (Path(__file__).parents[3] / "docs" / "policy.md").read_text(encoding="utf-8")
OTHERS = [name for name in ShapeName.__args__ if name != "guardstream"]
TIME = "2026-11-28T12:00:00.000Z"
SAID = "the words of a person"
VERDICT = Verdict(
    verdict_id="6b0c2f0e-3a57-5c55-9d0b-4a0e6e0d7c11",
    event_id="event-1",
    conversation_id="conversation-1",
    user_id="user-1",
    tenant=None,
    source=VerdictSource("events", 0, 7, TIME),
    status="complete",
    prompt_harmfulness=Reading("harmful", 0.97, "answer"),
    response_refusal=Reading("refusal", None, "answer"),
    response_harmfulness=Reading("unharmful", 0.02, "answer"),
    criteria={"fairness": Reading("yes", 0.75, "score")},
    categories=(Category("prompt_harmfulness", "S10", "Hate", 0.9),),
    severity="high",
    reasoned=True,
    reasoning=(),
    flags=("not_all_text",),
    guard=GuardReference("llama-guard", "org/model", None, "0"),
    engine=EngineReference("vllm", "1"),
    usage=Usage(1, 1, 1),
    finish_reason="stop",
    occurred_at=None,
    received_at=TIME,
    judged_at=TIME,
)
DSA = {
    "decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT",
    "category": "STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH",
    "ground_text": "Terms of use, 4.2",
    "explanation": "Hate is not allowed.",
}
RULES = policy(
    rule('prompt.label == "harmful"', "block", name="harmful-request", dsa=DSA),
    rule("false", "review", name="other"),
)


def shaped(name, verdict=VERDICT, rules=RULES):
    found = decision_shape(name, coop_item_type="item-type-1")
    return found.encode(rules.decide(judged(verdict), 1_795_867_201.5), verdict)


@pytest.mark.parametrize("name", OTHERS)
def test_each_shape_is_as_its_file_shows(name):
    shown = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    assert orjson.loads(shaped(name)) == shown


texts = st.text(max_size=8) | st.sampled_from(["\ud800", "hate", "a\x00b"])
maybe = st.none() | texts
scores = st.none() | st.floats(0, 1)
tasks = st.sampled_from(["prompt_harmfulness", "response_harmfulness", "fairness", "none"])
verdicts = st.builds(
    replace,
    st.just(VERDICT),
    event_id=texts,
    conversation_id=maybe,
    user_id=maybe,
    tenant=maybe,
    status=st.sampled_from(["complete", "inconclusive"]),
    prompt_harmfulness=st.builds(Reading, st.sampled_from([None, "harmful"]), scores),
    response_harmfulness=st.builds(Reading, st.sampled_from([None, "harmful"]), scores),
    criteria=st.dictionaries(texts, st.builds(Reading, maybe, scores), max_size=2),
    categories=st.lists(st.builds(Category, tasks, texts, texts, scores), max_size=3).map(tuple),
    severity=maybe,
    flags=st.lists(texts, max_size=2).map(tuple),
)


def require(name, document):
    """Fail unless a document has the fields that its reader needs."""
    if name == "osprey":
        action = document["data"]
        assert datetime.fromisoformat(document["send_time"]).tzinfo
        assert 0 <= action["action_id"] < 2**63
        assert (action["action_name"], type(action["data"])) == ("guardstream_verdict", dict)
    elif name == "coop":
        (item,) = document["items"]
        assert item["id"]
        assert item["typeId"] == "item-type-1"
        assert None not in item["data"].values()
    elif name == "openai-moderation":
        (result,) = document["results"]
        assert UUID(document["id"])
        assert type(result["flagged"]) is bool
        assert set(CATEGORIES) <= set(result["categories"])
        assert result["categories"].keys() == result["category_scores"].keys()
        assert all(0 <= score <= 1 for score in result["category_scores"].values())
        assert all(types == ["text"] for types in result["category_applied_input_types"].values())
    else:
        (scope,) = document["resourceLogs"][0]["scopeLogs"]
        assert scope["logRecords"]
        for record in scope["logRecords"]:
            keys = [one["key"] for one in record["attributes"]]
            assert len(set(keys)) == len(keys)
            assert (record["eventName"], record["timeUnixNano"].isdecimal()) == (EVENT, True)
            assert {
                "gen_ai.guardrail.target.type",
                "gen_ai.guardrail.verdict.type",
                "gen_ai.guardrail.security.policy.id",
                "gen_ai.guardrail.security.risk.category",
            } <= set(keys)


@given(st.sampled_from(OTHERS), verdicts, st.sampled_from(["allow", "log", "review", "block"]))
def test_any_decision_and_verdict_has_all_that_is_required(name, verdict, action):
    made = policy(rule("has(prompt.score)", action), rule("prompt.score > 0.5", name="fails"))
    text = shaped(name, verdict, made)
    require(name, orjson.loads(text))
    # with reasoning, only a reviewer reads words of the exchange
    section = Reasoning("prompt_harmfulness", (SAID,), "harmful")
    reasoned = replace(verdict, reasoning=(section,))
    assert (SAID in shaped(name, reasoned, made).decode()) == (name == "coop")
    assert SAID not in text.decode()


@pytest.mark.parametrize(
    ("action", "flagged"), [("allow", False), ("log", False), ("review", True), ("block", True)]
)
def test_openai_flags_what_does_not_pass(action, flagged):
    found = orjson.loads(shaped("openai-moderation", rules=policy(rule(action=action))))
    assert found["results"][0]["flagged"] is flagged


@pytest.mark.parametrize(
    ("category", "name", "score"),
    [
        (Category("prompt_harmfulness", "S5", "Defamation"), "Defamation", 0.97),
        (Category("response_refusal", "S11", "Suicide & Self-Harm"), "self-harm", 1.0),
        (Category("other", "self-harm", "self-harm/intent", 0.25), "self-harm/intent", 0.25),
    ],
)
def test_openai_has_a_score_for_each_category_that_is_reported(category, name, score):
    found = orjson.loads(shaped("openai-moderation", replace(VERDICT, categories=(category,))))
    (result,) = found["results"]
    assert [one for one, is_true in result["categories"].items() if is_true] == [name]
    assert {one: s for one, s in result["category_scores"].items() if s} == {name: score}


def test_opentelemetry_has_a_finding_for_each_category():
    second = Category("response_harmfulness", "S1", "Violent Crimes")
    two = replace(VERDICT, categories=(*VERDICT.categories, second))
    scope = orjson.loads(shaped("otel-guardrail", two))["resourceLogs"][0]["scopeLogs"][0]
    found = [{one["key"]: one["value"] for one in r["attributes"]} for r in scope["logRecords"]]
    types = [one["gen_ai.guardrail.target.type"]["stringValue"] for one in found]
    assert types == ["input", "output"]
    score = "gen_ai.guardrail.security.risk.score"
    assert [one.get(score) for one in found] == [{"doubleValue": 0.9}, None]


def test_without_a_category_openai_reports_none():
    (result,) = orjson.loads(shaped("openai-moderation", replace(VERDICT, categories=())))[
        "results"
    ]
    assert not any(result["categories"].values())
    assert not any(result["category_scores"].values())


@pytest.mark.parametrize(
    ("prompt", "response", "target", "category"),
    [
        ("unharmful", "unharmful", "output", "none"),
        ("harmful", "unharmful", "input", "harmful"),
        ("harmful", "harmful", "output", "harmful"),
        ("unharmful", None, "input", "none"),
        ("harmful", None, "input", "harmful"),
    ],
)
def test_without_a_category_opentelemetry_has_one_finding(prompt, response, target, category):
    answers = {"prompt_harmfulness": Reading(prompt), "response_harmfulness": Reading(response)}
    found = orjson.loads(shaped("otel-guardrail", replace(VERDICT, categories=(), **answers)))
    (record,) = found["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    values = {one["key"]: one["value"] for one in record["attributes"]}
    assert values["gen_ai.guardrail.security.risk.category"] == {"stringValue": category}
    assert values["gen_ai.guardrail.target.type"] == {"stringValue": target}


def test_guardstream_is_the_decision_itself():
    assert decision_shape("guardstream", coop_item_type="x") is None
    assert load_settings().output.decision_shape == "guardstream"


@pytest.mark.parametrize("name", [None, *OTHERS])
async def test_the_worker_publishes_decisions_in_the_shape_that_is_set(name):
    shape = decision_shape(name or "guardstream", coop_item_type="item-type-1")
    harness = WorkerHarness("at_least_once", policy=lambda: RULES, shape=shape)
    harness.bus.append("events", key=b"k", value=b'{"id": "1", "prompt": "a", "response": "b"}')
    async with harness.running():
        await harness.until(lambda: harness.bus.topic("decisions"))
    (record,) = harness.bus.topic("decisions")
    headers = dict(record.headers)
    assert (record.key, headers["guardstream.action"]) == (b"k", b"log")
    assert headers.get(SHAPE) == (name.encode() if name else None)
    document = orjson.loads(record.value)
    if name:
        require(name, document)
    else:
        assert document["schema"] == "guardstream.decision/1"


def test_a_decision_has_the_statement_of_reasons_of_the_rule_that_decided():
    decision = RULES.decide(judged(VERDICT), 0.0)
    assert orjson.loads(orjson.dumps(decision))["dsa"] == {
        "decision_ground": DSA["decision_ground"],
        "category": DSA["category"],
        "illegal_content_legal_ground": None,
        "illegal_content_explanation": None,
        "incompatible_content_ground": DSA["ground_text"],
        "incompatible_content_explanation": DSA["explanation"],
        "automated_detection": "Yes",
        "automated_decision": "AUTOMATED_DECISION_FULLY",
    }
    illegal = DSA | {"decision_ground": "DECISION_GROUND_ILLEGAL_CONTENT", "explanation": ""}
    found = policy(rule(dsa=illegal)).decide(judged(VERDICT), 0.0).dsa
    assert (found.illegal_content_legal_ground, found.illegal_content_explanation) == (
        DSA["ground_text"],
        None,
    )
    assert found.incompatible_content_ground is None


def test_no_statement_is_taken_from_a_rule_that_did_not_decide():
    weaker = rule("true", "log", name="weaker", dsa=DSA)
    for made in (
        policy(weaker, rule("true", "block", name="stronger")),
        policy(weaker, rule("prompt.score > 0.5", "block", name="fails"), on_error="review"),
        policy(weaker),
    ):
        unsure = replace(VERDICT, status="inconclusive", prompt_harmfulness=NO_READING)
        decision = made.decide(judged(unsure), 0.0)
        assert decision.action != "log"
        assert decision.dsa is None


def test_the_page_shows_each_shape_as_it_is():
    shown = dict(re.findall(r"```json shape ([a-z-]+)\n(.*?)```", PAGE, re.DOTALL))
    assert list(shown) == OTHERS
    for name, text in shown.items():
        assert json.loads(text) == json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
