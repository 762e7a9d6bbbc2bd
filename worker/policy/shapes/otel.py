"""The shape `otel-guardrail`: findings of a guardrail as OpenTelemetry log records.

Source: the draft conventions of guardrails, open-telemetry/semantic-conventions-genai, pull request
427, docs/gen-ai/gen-ai-security.md at commit 3155df2; status Development, so names can change. The
document is OTLP/JSON 1.x of logs, as a collector's Kafka receiver reads it (`encoding: otlp_json`).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.domain.decisions import Decision
from worker.domain.questions import STANDARD_QUESTIONS
from worker.domain.verdicts import Verdict
from worker.policy.judged import judged

EVENT = "gen_ai.guardrail.security.finding"
_OVERLAY = "gen_ai.guardrail.security"
_NO_FINDING = "none"
# an action of another name is its own verdict type, which the conventions allow
_VERDICT_TYPES = {"allow": "allow", "log": "warn", "review": "escalate", "block": "deny"}
_ABOUT = {question.name: question.about for question in STANDARD_QUESTIONS}
_TARGETS = {"prompt": "input", "response": "output"}
_EPOCH = datetime.fromtimestamp(0, UTC)
_NANOSECONDS = 1000


def otel_guardrail(decision: Decision, verdict: Verdict) -> Mapping[str, Any]:
    """One log record for each category of the verdict; one where there is none."""
    decided_at = _nanoseconds(decision.decided_at)
    same = _same(decision, verdict)
    records = [
        {
            "timeUnixNano": decided_at,
            "observedTimeUnixNano": decided_at,
            "eventName": EVENT,
            "attributes": _attributes(same | finding),
        }
        for finding in _findings(verdict)
    ]
    resource = {"attributes": _attributes({"service.name": "guardstream"})}
    scope = {"scope": {"name": "guardstream"}, "logRecords": records}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]}


def _same(decision: Decision, verdict: Verdict) -> dict[str, Any]:
    reason = decision.reason
    return {
        "gen_ai.guardrail.component.name": verdict.guard.name,
        "gen_ai.guardrail.verdict.type": _VERDICT_TYPES.get(decision.action, decision.action),
        "gen_ai.guardrail.verdict.code": reason.code if reason else None,
        "gen_ai.guardrail.verdict.reason": reason.text if reason else None,
        "gen_ai.guardrail.target.subtype": "llm",
        "gen_ai.guardrail.target.id": decision.event_id,
        "gen_ai.conversation.id": decision.conversation_id,
        f"{_OVERLAY}.policy.id": decision.policy.name,
        # with several, none of them alone is the rule that decided
        f"{_OVERLAY}.policy.rule.id": decision.rules[0] if len(decision.rules) == 1 else None,
        f"{_OVERLAY}.external_finding_id": decision.decision_id,
        "user.id": decision.user_id,
        "guardstream.action": decision.action,
        "guardstream.rules": decision.rules or None,
        "guardstream.policy.version": decision.policy.version,
        "guardstream.verdict_id": decision.verdict_id,
        "guardstream.tenant": decision.tenant,
    }


def _findings(verdict: Verdict) -> Iterator[dict[str, Any]]:
    for one in verdict.categories:
        yield {
            "gen_ai.guardrail.target.type": _TARGETS[_ABOUT.get(one.task, "response")],
            f"{_OVERLAY}.risk.category": one.name,
            f"{_OVERLAY}.risk.score": one.score,
        }
    if not verdict.categories:
        seen = judged(verdict)
        target, reading = "output", seen.response
        if reading.label is None or (seen.prompt.label == "harmful" != reading.label):
            target, reading = "input", seen.prompt
        yield {
            "gen_ai.guardrail.target.type": target,
            f"{_OVERLAY}.risk.category": "harmful" if reading.label == "harmful" else _NO_FINDING,
            f"{_OVERLAY}.risk.score": reading.score,
        }


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": _any_value(value)}
        for key, value in values.items()
        if value is not None
    ]


def _any_value(value: str | float | Sequence[str]) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"arrayValue": {"values": [{"stringValue": one} for one in value]}}


def _nanoseconds(time: str) -> str:
    # 64-bit integers are strings in the JSON of protobuf
    since = datetime.fromisoformat(time) - _EPOCH
    return str(since // timedelta(microseconds=1) * _NANOSECONDS)
