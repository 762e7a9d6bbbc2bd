"""The shape `coop`: the body of a request that submits an item to Coop.

Source: roostorg/coop 1.0.2, docs/api/items.md: `POST /api/v1/items/async/` with `items`, each with
`id`, `typeId` and `data`, whose fields are those of the item type.
"""

from collections.abc import Mapping
from typing import Any

from worker.domain.decisions import Decision
from worker.domain.judgements import Reasoning
from worker.domain.verdicts import Verdict


def coop(decision: Decision, verdict: Verdict, *, item_type: str) -> Mapping[str, Any]:
    """The request body, with the decision as one item; its id is the verdict's.

    A new decision on the same verdict is the same item, submitted again.

    Args:
        decision: what was decided.
        verdict: what it was decided on; its reasoning goes along, if there is any.
        item_type: the id of the item type, as Coop's dashboard shows it.
    """
    fields = _fields(decision, verdict)
    data = {name: value for name, value in fields.items() if value is not None}
    return {"items": [{"id": verdict.verdict_id, "typeId": item_type, "data": data}]}


def _fields(decision: Decision, verdict: Verdict) -> dict[str, Any]:
    reason = decision.reason
    answers: dict[str, Any] = {}
    for name, reading in verdict.readings().items():
        answers |= {name: reading.label, f"{name}_score": reading.score}
    return {
        **answers,
        "action": decision.action,
        "reason_code": reason.code if reason else None,
        "reason": reason.text if reason else None,
        "rules": decision.rules,
        "policy": decision.policy.name,
        "policy_version": decision.policy.version,
        "decision_id": decision.decision_id,
        "event_id": decision.event_id,
        "conversation_id": decision.conversation_id,
        "user_id": decision.user_id,
        "tenant": decision.tenant,
        "status": verdict.status,
        "categories": [one.name for one in verdict.categories],
        "severity": verdict.severity,
        "flags": verdict.flags,
        "guard": verdict.guard.name,
        "model": verdict.guard.model,
        "occurred_at": verdict.occurred_at,
        "judged_at": verdict.judged_at,
        "decided_at": decision.decided_at,
        "reasoning": "\n\n".join(map(_section, verdict.reasoning)) or None,
    }


def _section(reasoning: Reasoning) -> str:
    said = (*reasoning.steps, *([reasoning.conclusion] if reasoning.conclusion else []))
    return "\n".join((f"{reasoning.task}:", *said))
