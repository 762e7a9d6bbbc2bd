"""The shape `osprey`: an action that Osprey's rules take from Kafka.

Source: roostorg/osprey 1.1.0, the Kafka input stream of its worker (`osprey.actions_input`): it
reads `send_time`, `data.action_id` as an integer, `data.action_name` and `data.data`.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from worker.domain.decisions import Decision
from worker.domain.verdicts import Verdict
from worker.policy.judged import judged

ACTION_NAME = "guardstream_verdict"
# Osprey's action ids are signed 64-bit integers
_BITS_TOO_MANY = 128 - 63


def osprey(decision: Decision, verdict: Verdict) -> Mapping[str, Any]:
    """The action; its id is the first 63 bits of the decision's, so that a repetition is known."""
    return {
        "send_time": decision.decided_at,
        "data": {
            "action_id": UUID(decision.decision_id).int >> _BITS_TOO_MANY,
            "action_name": ACTION_NAME,
            "data": _features(decision, verdict),
        },
    }


def _features(decision: Decision, verdict: Verdict) -> dict[str, Any]:
    seen, reason = judged(verdict), decision.reason
    prompt, refusal, response = seen.prompt, seen.refusal, seen.response
    return {
        "Action": decision.action,
        "ReasonCode": reason.code if reason else None,
        "Rules": decision.rules,
        "Policy": decision.policy.name,
        "PolicyVersion": decision.policy.version,
        "DecisionId": decision.decision_id,
        "VerdictId": decision.verdict_id,
        "EventId": decision.event_id,
        "ConversationId": decision.conversation_id,
        "UserId": decision.user_id,
        "Tenant": decision.tenant,
        "Status": verdict.status,
        "PromptHarmfulness": prompt.label,
        "PromptHarmScore": prompt.score,
        "ResponseHarmfulness": response.label,
        "ResponseHarmScore": response.score,
        "ResponseRefusal": refusal.label,
        "ResponseRefusalScore": refusal.score,
        "Criteria": {name: one.label for name, one in verdict.criteria.items()},
        "Categories": [one.code for one in verdict.categories],
        "Severity": verdict.severity,
        "Flags": verdict.flags,
        "Guard": verdict.guard.name,
        "Model": verdict.guard.model,
        "OccurredAt": verdict.occurred_at,
        "JudgedAt": verdict.judged_at,
    }
