"""Decisions: which action, why, and the same wherever they are made."""

import uuid

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.unit.policy.expressions import expressions, verdicts
from tests.unit.policy.policies import decide, policy, rule, verdict, verdict_document
from worker.domain import decisions
from worker.domain.decisions import decision_id, encode_decision
from worker.domain.engines import EngineReference, Usage
from worker.domain.judgements import Category, Reading
from worker.domain.questions import STANDARD_TASKS
from worker.domain.verdicts import GuardReference, Verdict, VerdictSource, encode_verdict
from worker.operator.schemas import documents
from worker.policy.judged import NotAVerdict, judged, read_judged
from worker.policy.policy import load_policy

HARMFUL = {"label": "harmful", "score": 0.9, "source": "score"}


def stored(document):
    """The worker's verdict with the fields of a document."""
    answers = {name: Reading(**document[name]) for name in STANDARD_TASKS}
    same = ("verdict_id", "event_id", "conversation_id", "user_id", "tenant", "status", "severity")
    return Verdict(
        **answers,
        **{name: document[name] for name in same},
        criteria={name: Reading(**one) for name, one in document["criteria"].items()},
        categories=tuple(Category(**one) for one in document["categories"]),
        flags=tuple(document["flags"]),
        reasoned=document["reasoned"],
        judged_at=document["judged_at"],
        source=VerdictSource("t", 0, 0, document["judged_at"]),
        reasoning=(),
        guard=GuardReference("g", "m", None, "0"),
        engine=EngineReference("vllm", "1"),
        usage=Usage(1, 1, 1),
        finish_reason="stop",
        occurred_at=None,
        received_at=document["judged_at"],
    )


@given(st.lists(expressions, max_size=3), verdicts)
def test_the_worker_and_a_stored_verdict_lead_to_the_same_decision(conditions, document):
    made = policy(*(rule(when, name=f"r{at}") for at, when in enumerate(conditions)))
    of_worker = stored(document)
    from_line = read_judged(orjson.loads(encode_verdict(of_worker)))
    assert made.decide(judged(of_worker), 0.0) == made.decide(from_line, 0.0)
    assert made.decide(read_judged(document), 0.0) == made.decide(from_line, 0.0)


def test_the_most_severe_action_is_taken_and_all_rules_are_named():
    made = policy(
        rule(name="first", action="log"),
        rule(name="second", action="review"),
        rule(name="third", action="review"),
        rule(name="fourth", when="reasoned == false"),
    )
    found = decide(made, reasoned=True)
    assert (found.action, found.rules) == ("review", ("first", "second", "third"))
    assert found.reason.code == "second_code"
    assert found.errors == ()


def test_without_a_rule_the_default_action_is_taken():
    found = decide(policy(rule("false")))
    assert (found.action, found.rules, found.reason) == ("allow", (), None)


def test_a_rule_can_be_less_severe_than_the_default():
    assert decide(policy(rule(action="allow"), default="review")).action == "allow"


@pytest.mark.parametrize(("action", "expected"), [("log", "review"), ("block", "block")])
def test_an_inconclusive_verdict_has_at_least_its_action(action, expected):
    found = decide(policy(rule(action=action)), status="inconclusive")
    assert (found.action, found.rules) == (expected, ("r",))
    assert found.reason.code == ("inconclusive" if action == "log" else "r_code")


def test_a_verdict_that_no_model_made_has_its_own_action():
    found = decide(policy(rule()), flags=["simulated"])
    assert (found.action, found.rules, found.reason.code) == ("log", (), "simulated")


def test_a_rule_that_fails_is_named_and_leads_to_the_action_for_errors():
    made = policy(rule("prompt.score > 0.5", name="scored"), rule("prompt.label == null", "log"))
    found = decide(made)
    assert (found.action, found.rules, found.errors) == ("review", ("r",), ("scored",))
    assert found.reason.code == "rule_failed"
    assert decide(made, prompt=HARMFUL).errors == ()


TENANTS = {
    "thresholds": {"limit": 0.8, "other": 0.5},
    "categories": {"S1": {"limit": 0.7}},
    "tenants": {
        "strict": {"thresholds": {"limit": 0.4}, "categories": {"S2": {"limit": 0.3}}},
        "kids": {"inherits": "strict", "categories": {"S1": {"limit": 0.1}}},
        "teens": {"inherits": "kids", "thresholds": {"other": 0.2}},
    },
}


@pytest.mark.parametrize(
    ("tenant", "plain", "first", "second", "other"),
    [
        (None, 0.8, 0.7, 0.8, 0.5),
        ("unknown", 0.8, 0.7, 0.8, 0.5),
        ("strict", 0.4, 0.4, 0.3, 0.5),
        ("kids", 0.4, 0.1, 0.3, 0.5),
        ("teens", 0.4, 0.1, 0.3, 0.2),
    ],
)
def test_the_nearest_level_that_sets_a_threshold_counts(tenant, plain, first, second, other):
    made = policy(
        rule(f'threshold("limit") == {plain}', name="plain"),
        rule(f'threshold("limit", "S1") == {first}', name="first"),
        rule(f'threshold("limit", "S2") == {second}', name="second"),
        rule(f'threshold("limit", "S3") == {plain}', name="third"),
        rule(f'threshold("other") == {other}', name="other"),
        **TENANTS,
    )
    assert decide(made, tenant=tenant).rules == ("plain", "first", "second", "third", "other")


def test_a_rule_for_tenants_is_for_those_that_inherit_from_them():
    made = policy(rule(tenants=["strict"]), **TENANTS)
    actions = {tenant: decide(made, tenant=tenant).action for tenant in (*TENANTS["tenants"], "x")}
    assert actions == {"strict": "block", "kids": "block", "teens": "block", "x": "allow"}


@pytest.mark.parametrize(
    ("day", "is_true"),
    [("2026-01-31", False), ("2026-02-01", True), ("2026-03-01", True), ("2026-03-02", False)],
)
def test_a_rule_is_in_effect_on_its_days(day, is_true):
    dates = {"effective_from": "2026-02-01", "effective_until": "2026-03-01"}
    found = decide(policy(rule(**dates)), judged_at=f"{day}T23:59:59.000Z")
    assert (found.action == "block") is is_true
    of_policy = decide(policy(rule(), **dates), judged_at=f"{day}T23:59:59.000Z")
    assert (of_policy.action == "block") is is_true
    assert of_policy.reason.code == ("r_code" if is_true else "not_in_effect")


@given(st.text(alphabet=st.characters(codec="utf-8")), st.text(alphabet="0123456789abcdef"))
def test_the_id_is_the_uuid_of_verdict_and_policy(verdict_id, sha256):
    expected = uuid.uuid5(decisions._NAMESPACE, f"{verdict_id}\x00{sha256}")
    assert decision_id(verdict_id, sha256) == str(expected)


def test_nothing_but_its_time_depends_on_when_a_decision_is_made():
    made, given_verdict = policy(rule()), verdict()
    early, late = (orjson.loads(encode_decision(made.decide(given_verdict, at))) for at in (0, 9))
    assert early.pop("decided_at") != late.pop("decided_at")
    assert early == late


@given(verdicts)
def test_decisions_keep_their_schema(document):
    schema = Draft202012Validator(orjson.loads(documents()["decision.schema.json"]))
    found = load_policy().decide(read_judged(document), 0.0)
    assert list(schema.iter_errors(orjson.loads(encode_decision(found)))) == []


def test_a_lone_surrogate_becomes_a_question_mark():
    found = orjson.loads(encode_decision(decide(policy(), tenant="a\ud800")))
    assert found["tenant"] == "a?"


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "odd"},
        {"judged_at": "yesterday"},
        {"judged_at": 5},
        {"judged_at": "2026-W48-6T00:00:00Z"},
        {"judged_at": "20261128"},
        {"verdict_id": None},
        {"tenant": 5},
        {"prompt": "harmful"},
        {"prompt": {"label": 5}},
        {"prompt": {"label": None, "score": 1.5}},
        {"prompt": {"label": None, "score": True}},
        {"prompt": {"label": None, "source": ["a"]}},
        {"criteria": {"a": 5}},
        {"criteria": [5]},
        {"categories": [{"task": "t"}]},
        {"categories": ["S1"]},
        {"categories": "S1"},
        {"flags": [5]},
        {"reasoned": "yes"},
        {"severity": 3},
    ],
)
def test_what_is_no_verdict_is_refused(wrong):
    with pytest.raises(NotAVerdict):
        verdict(**wrong)


def test_a_verdict_of_version_1_has_no_scores_and_no_categories():
    document = verdict_document(prompt={"label": "harmful", "source": "answer"})
    found = read_judged(document)
    assert (found.prompt.score, found.categories, found.reasoned) == (None, (), True)
