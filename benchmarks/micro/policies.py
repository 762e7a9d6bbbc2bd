"""A policy of 200 rules and 50 tenants, and verdicts for it."""

import random

import yaml

from worker.policy.file import parse_policy
from worker.policy.judged import Judged, read_judged
from worker.policy.policy import Policy
from worker.policy.types import TASKS

RULES = 200
TENANTS = 50
_THRESHOLDS = 10
_CONDITIONS = (
    'prompt.score >= threshold("t{k}")',
    'response.label == "harmful" && response.score > threshold("t{k}")',
    'categories.exists(c, c.code == "S{k}" && c.score > threshold("t{k}", c.code))',
    '"flag{k}" in flags || severity == "high"',
    'has(refusal.score) && refusal.score < 0.{k}1 && prompt.label != "harmful"',
)


def large_policy() -> Policy:
    """Conditions of five kinds; every fourth rule is for one tenant."""
    rules = []
    for number in range(RULES):
        when = _CONDITIONS[number % len(_CONDITIONS)].format(k=number % _THRESHOLDS)
        rule = {
            "name": f"rule-{number}",
            "when": when,
            "action": ("log", "review", "block")[number % 3],
            "reason": {"code": "code", "text": "A rule of the benchmark."},
        }
        for_one = {"tenants": [f"tenant{number % TENANTS}"]} if number % 4 == 0 else {}
        rules.append(rule | for_one)
    document = {
        "name": "benchmark",
        "version": "1",
        "actions": ["allow", "log", "review", "block"],
        "default": "allow",
        **dict.fromkeys(("inconclusive", "dead_letter", "on_error", "simulated"), "review"),
        "thresholds": {f"t{k}": 0.9 + k / 1000 for k in range(_THRESHOLDS)},
        "tenants": {
            f"tenant{number}": {
                "inherits": f"tenant{number // 2}" if number else None,
                "thresholds": {f"t{number % _THRESHOLDS}": 0.8},
            }
            for number in range(TENANTS)
        },
        "rules": rules,
    }
    return Policy(parse_policy(yaml.safe_dump(document).encode(), "benchmark"))


def verdicts(count: int) -> list[Judged]:
    """Verdicts of which a third has categories, and a tenth is inconclusive."""
    draw = random.Random(5)
    made = []
    for number in range(count):
        answers = {
            question.name: {
                "label": draw.choice(question.labels),
                "score": draw.choice([None, draw.random()]),
                "source": "score",
            }
            for question in TASKS.values()
        }
        category = {"task": "t", "code": f"S{number % 5}", "name": "n", "score": draw.random()}
        document = {
            "verdict_id": f"v{number}",
            "event_id": f"e{number}",
            "tenant": f"tenant{number % TENANTS}",
            "status": "inconclusive" if number % 10 == 0 else "complete",
            "categories": [category] if number % 3 == 0 else [],
            "judged_at": "2026-11-28T00:00:00.000Z",
        }
        made.append(read_judged(answers | document))
    return made
