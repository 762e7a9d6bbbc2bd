"""The shape of a name."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from worker.domain.decision_shape import DecisionShape
from worker.domain.decisions import Decision
from worker.domain.verdicts import Verdict
from worker.policy.shapes.coop import coop
from worker.policy.shapes.names import ShapeName
from worker.policy.shapes.openai import openai_moderation
from worker.policy.shapes.osprey import osprey
from worker.policy.shapes.otel import otel_guardrail

_SAME_EVERYWHERE: Mapping[ShapeName, Callable[[Decision, Verdict], Mapping[str, Any]]] = {
    "otel-guardrail": otel_guardrail,
    "osprey": osprey,
    "openai-moderation": openai_moderation,
}


def decision_shape(name: ShapeName, *, coop_item_type: str) -> DecisionShape | None:
    """The shape of this name; None for `guardstream`, in which a decision is as it is.

    Args:
        name: of the shape.
        coop_item_type: the id of Coop's item type, for `coop`.
    """
    if name == "guardstream":
        return None
    if name == "coop":
        return DecisionShape(name, partial(coop, item_type=coop_item_type))
    return DecisionShape(name, _SAME_EVERYWHERE[name])
