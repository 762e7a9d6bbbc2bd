"""Tools for those who write policies: lint, explanations, cases, comparisons."""

from datetime import date

import pytest
import yaml
from hypothesis import given

from tests.unit.policy.expressions import expressions, verdicts
from tests.unit.policy.policies import policy, rule, verdict
from worker.domain.errors import UnusableFile
from worker.operator.policies.cases import Case, check_case, read_cases
from worker.operator.policies.comparing import Comparing
from worker.policy.explaining import Explainer
from worker.policy.judged import read_judged
from worker.policy.lint import warnings
from worker.policy.policy import load_policy

TODAY = date(2026, 11, 28)
HARMFUL = {"label": "harmful", "score": 0.9, "source": "score"}
NOW = 1_700_000_000.0


def linted(*rules, **more):
    return warnings(policy(*rules, **{"thresholds": {}} | more), TODAY)


def test_the_starter_has_no_warnings():
    assert warnings(load_policy(), TODAY) == []


@pytest.mark.parametrize(
    ("when", "path"),
    [
        ("prompt.score > 0.5", "prompt.score"),
        ("reasoned && 0.5 < response.score", "response.score"),
        ("categories.exists(c, c.score > 0.5)", "c.score"),
        ('criteria["x"].score > 0.5', "criteria['x'].score"),
        ('severity.startsWith("a")', "severity"),
        ("has(prompt.label) && prompt.score > 0.5", "prompt.score"),
    ],
)
def test_a_comparison_that_fails_on_null_is_shown(when, path):
    (warning,) = linted(rule(when))
    assert warning.startswith("rule r, line 1, column ")
    assert f"in which {path} is null" in warning


@pytest.mark.parametrize(
    "when",
    [
        "has(prompt.score) && prompt.score > 0.5",
        "prompt.score != null && prompt.score > 0.5",
        "prompt.score == null || prompt.score > 0.5",
        'severity != null && severity.startsWith("a")',
        'prompt.label == "harmful"',
    ],
)
def test_a_comparison_that_is_tested_for_null_is_not(when):
    assert linted(rule(when)) == []


def test_other_probable_mistakes_are_shown():
    found = linted(
        rule(tenants=["kid"], name="a"),
        rule(name="b"),
        rule(name="c", effective_until="2026-01-01"),
        rule(name="d"),
        thresholds={"unused": 0.5},
        tenants={"kids": {}},
        effective_until="2026-11-27",
    )
    assert [warning.split(":")[0] for warning in found] == [
        "thresholds.unused",
        "rule a",
        "the policy was in effect until 2026-11-27",
        "rule c",
        "rule d",
    ]
    assert "in effect from" in linted(effective_from="2026-11-29")[0]


@given(expressions, verdicts)
def test_the_explanation_is_what_was_decided(when, document):
    made, given_verdict = policy(rule(when)), read_judged(document)
    matched, failed = made.matches(given_verdict)
    (found,) = Explainer(made).explain(given_verdict)
    assert found.outcome == ("true" if matched else "error" if failed else "false")
    assert len(found.steps) > 0


def test_an_explanation_has_the_values_of_each_comparison():
    made = policy(
        rule('prompt.score >=\n  threshold("limit") && !(response.score > 0.1 || reasoned)'),
        rule("categories.exists(c, c.code == tenant)", name="categories"),
        rule(name="of-others", tenants=["others"]),
    )
    given_verdict = verdict(
        prompt=HARMFUL,
        reasoned=False,
        categories=[{"task": "t", "code": "S1", "name": "n"}],
    )
    first, second, third = Explainer(made).explain(given_verdict)
    assert (first.outcome, second.outcome, third.outcome) == ("error", "false", "not applied")
    assert [(step.text, step.outcome, step.values) for step in first.steps] == [
        (
            'prompt.score >= threshold("limit")',
            "true",
            {"prompt.score": 0.9, 'threshold("limit")': 0.5},
        ),
        ("response.score > 0.1", "error", {"response.score": None}),
        ("reasoned", "false", {}),
    ]
    (step,) = second.steps
    assert step.values["categories"][0]["code"] == "S1"
    assert third.steps == ()


def case(**fields):
    return Case.model_validate({"name": "c", "action": "block", **fields})


@pytest.mark.parametrize(
    ("fields", "differences"),
    [
        ({}, ()),
        ({"rules": ["r"]}, ()),
        ({"action": "allow"}, ("action block, expected allow",)),
        ({"rules": []}, ("rules r, expected none",)),
        ({"errors": ["r"]}, ("failed rules none, expected r",)),
        ({"verdict": {}, "action": "allow"}, ()),
        ({"verdict": {"prompt_harmfulness": HARMFUL}}, ()),
    ],
)
def test_a_case_is_compared_with_the_decision(fields, differences):
    made = policy(rule('prompt.label == "harmful"'))
    found = check_case(made, case(**{"verdict": {"prompt": HARMFUL}, **fields}), NOW)
    assert found.differences == differences


@pytest.mark.parametrize(
    ("given_verdict", "expected"),
    [
        ({"promt": HARMFUL}, "a verdict has no field promt"),
        ({"prompt": HARMFUL, "prompt_harmfulness": HARMFUL}, "both prompt and prompt_harmfulness"),
        ({"prompt": {"score": 2}}, "not a number from 0 to 1"),
    ],
)
def test_a_case_without_a_usable_verdict_is_refused(given_verdict, expected):
    with pytest.raises(UnusableFile, match="The case c has no usable verdict") as refused:
        check_case(policy(), case(verdict=given_verdict), NOW)
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    "held", ["[]", "a: [", "- name: x", "- {name: x, action: a, verdit: {}}", "5"]
)
def test_a_file_without_cases_is_refused(tmp_path, held):
    path = tmp_path / "cases.yaml"
    path.write_text(held)
    with pytest.raises(UnusableFile, match=r"cases\.yaml"):
        read_cases(path)


def test_cases_are_read(tmp_path):
    path = tmp_path / "cases.yaml"
    path.write_text(yaml.safe_dump([{"name": "c", "action": "block"}]))
    assert read_cases(path) == [case()]


def test_a_comparison_counts_what_changes():
    old = policy(rule("prompt.score > 0.8"), rule("reasoned", "log", name="gone"))
    new = policy(rule("prompt.score > 0.4"), rule("reasoned", "log", name="new"))
    comparing = Comparing(old, new, examples=2)
    category = {"task": "t", "code": "S1", "name": "n"}
    for at in range(10):
        comparing.add(
            verdict(
                event_id=f"e{at}",
                prompt={"label": "harmful", "score": at / 10},
                tenant="kids" if at % 2 else None,
                categories=[category] * 2 if at > 6 else [],
            )
        )
    found = comparing.found
    assert (found.verdicts, found.changed) == (10, 4)
    assert found.actions == {("log", "log"): 5, ("log", "block"): 4, ("block", "block"): 1}
    assert found.rules == {"r": [4, 0], "gone": [0, 10], "new": [10, 0]}
    assert found.tenants == {"kids": [5, 2], "(none)": [5, 2]}
    assert found.categories == {"S1": [3, 2]}
    assert [one.event_id for one in found.examples] == ["e5", "e6"]
