"""The commands of policies as programs use them."""

import json

import pytest

from tests.contract.test_commands import guardstream
from tests.unit.policy.test_decision_shapes import VERDICT
from worker.domain.verdicts import encode_verdict

POLICY = """
name: p
version: "2"
actions: [allow, block]
default: allow
inconclusive: allow
dead_letter: allow
on_error: allow
simulated: allow
thresholds: {block: 0.5}
rules:
- name: high
  when: prompt.score >= threshold("block")
  action: block
  reason: {code: high, text: The score is high.}
"""


def line(score, **fields):
    no_answer = {"label": None}
    return json.dumps(
        {
            "verdict_id": f"v{score}",
            "event_id": f"e{score}",
            "status": "complete",
            "judged_at": "2026-11-28T00:00:00.000Z",
            "prompt_harmfulness": {"label": "harmful", "score": score},
            "response_refusal": no_answer,
            "response_harmfulness": no_answer,
            **fields,
        }
    )


@pytest.fixture
def files(tmp_path):
    for name, text in {
        "policy.yaml": POLICY,
        "strict.yaml": POLICY.replace("0.5", "0.1"),
        "bad.yaml": POLICY.replace("prompt.score", "promt.score"),
        "verdicts.jsonl": f"{line(0.9)}\n\n{line(0.2)}\n",
        "cases.yaml": "- {name: c, verdict: {prompt: {score: 0.9}}, action: block, rules: [high]}",
        "wrong.yaml": "- {name: c, action: block}",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_decide_makes_decisions_in_another_shape(files):
    verdicts = encode_verdict(VERDICT).decode() + "\n" + line(0.9)
    done = guardstream(
        *("decide", "--policy", files / "policy.yaml", "--shape", "coop"),
        given=verdicts,
        GUARDSTREAM_OUTPUT__COOP_ITEM_TYPE="type-7",
    )
    first, second = map(json.loads, done.stdout.splitlines())
    (item,) = first["items"]
    assert (item["typeId"], item["data"]["action"]) == ("type-7", "block")
    assert second["line"] == 2
    assert "all fields" in second["error"]
    assert done.returncode == 1


def test_decide_makes_a_decision_of_each_verdict(files):
    done = guardstream("decide", files / "verdicts.jsonl", "--policy", files / "policy.yaml")
    first, second = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 0
    assert (first["event_id"], first["action"], first["rules"]) == ("e0.9", "block", ["high"])
    assert first["policy"]["version"] == "2"
    assert (second["action"], second["reason"]) == ("allow", None)


def test_decide_takes_the_policy_of_the_settings(files):
    given = f"{line(0.9)}\n"
    held = {"GUARDSTREAM_POLICY__FILE": str(files / "strict.yaml")}
    done = guardstream("decide", given=given, **held)
    assert json.loads(done.stdout)["policy"]["name"] == "p"
    # one that is given counts first
    strict, given_one = (
        json.loads(guardstream("decide", *more, given=given, **held).stdout)["policy"]["sha256"]
        for more in ((), ("--policy", files / "policy.yaml"))
    )
    assert strict != given_one


def test_decide_reports_a_bad_line_and_reads_the_next():
    done = guardstream("decide", given=f'{line(0.9)}\n{{"a": 1}}\nnot JSON\n{line(0.2)}\n')
    first, other, text, last = map(json.loads, done.stdout.splitlines())
    assert (first["event_id"], last["event_id"]) == ("e0.9", "e0.2")
    assert first["policy"]["name"] == "starter"
    assert other == {
        "line": 2,
        "error": "Not a verdict: prompt_harmfulness is not an object.",
    }
    assert text == {"line": 3, "error": "Not a verdict: not JSON."}
    assert done.returncode == 1


def test_decide_compares_two_policies(files):
    policies = (files / "policy.yaml", files / "strict.yaml")
    done = guardstream("decide", files / "verdicts.jsonl", "--compare", *policies, "--json")
    found = json.loads(done.stdout)
    assert (found["verdicts"], found["changed"]) == (2, 1)
    assert found["rules"] == {"high": {"newly_true": 1, "no_longer_true": 0}}
    shown = guardstream("decide", files / "verdicts.jsonl", "--compare", *policies).stdout
    assert "2 verdicts, 1 of them with another action" in shown
    assert "e0.2" in shown


def test_lint_names_rule_and_place(files):
    done = guardstream("policy", "lint", files / "bad.yaml")
    assert "fault: rule high, line 1, column 1: there is no promt" in done.stdout
    assert done.returncode == 1
    fine = guardstream("policy", "lint", files / "policy.yaml", "--json")
    assert json.loads(fine.stdout)["kind"] == "warning"
    assert fine.returncode == 0


def test_a_policy_that_cannot_be_used_is_one_line(files):
    done = guardstream("decide", "--policy", files / "bad.yaml")
    assert done.returncode == 1
    (shown,) = done.stderr.splitlines()
    assert shown.startswith("guardstream: ")
    assert "rule high, line 1, column 1" in shown


def test_cases_of_a_policy_are_checked(files):
    done = guardstream("policy", "test", files / "policy.yaml", files / "cases.yaml")
    assert (done.returncode, done.stdout) == (0, "1 case, 0 differ\n")
    wrong = guardstream("policy", "test", files / "policy.yaml", files / "wrong.yaml")
    assert wrong.returncode == 1
    assert "c: action allow, expected block; failed rules high, expected none" in wrong.stdout


def test_explain_shows_the_values_of_comparisons(files):
    given = line(0.9)
    done = guardstream("policy", "explain", files / "policy.yaml", given=given)
    assert 'prompt.score >= threshold("block"): true' in done.stdout
    assert 'prompt.score = 0.9, threshold("block") = 0.5' in done.stdout
    found = json.loads(
        guardstream("policy", "explain", files / "policy.yaml", "--json", given=given).stdout
    )
    assert found["decision"]["action"] == "block"
    assert found["rules"][0]["steps"][0]["values"]["prompt.score"] == 0.9
