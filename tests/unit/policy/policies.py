"""Policies and verdicts for the tests."""

import yaml

from worker.policy.file import parse_policy
from worker.policy.judged import read_judged
from worker.policy.policy import Policy
from worker.policy.types import TASKS

NO_ANSWER = {"label": None, "score": None, "source": None}


def rule(when="true", action="block", name="r", **more):
    return {
        "name": name,
        "when": when,
        "action": action,
        "reason": {"code": f"{name}_code", "text": f"Because of {name}."},
        **more,
    }


def document(*rules, **more):
    return {
        "name": "test",
        "version": "1",
        "actions": ["allow", "log", "review", "block"],
        "default": "allow",
        "inconclusive": "review",
        "dead_letter": "review",
        "on_error": "review",
        "simulated": "log",
        "thresholds": {"limit": 0.5},
        "rules": list(rules),
        **more,
    }


def text(*rules, **more):
    return yaml.safe_dump(document(*rules, **more), sort_keys=False).encode()


def policy(*rules, **more):
    return Policy(parse_policy(text(*rules, **more), "policy.yaml"))


def verdict_document(**fields):
    answers = {question.name: fields.pop(short, NO_ANSWER) for short, question in TASKS.items()}
    return {
        **answers,
        "verdict_id": "v",
        "event_id": "e",
        "status": "complete",
        "judged_at": "2026-11-28T12:00:00.000Z",
        **fields,
    }


def verdict(**fields):
    return read_judged(verdict_document(**fields))


def decide(made, **fields):
    return made.decide(verdict(**fields), 0.0)
