"""Verdicts and dead letters, for a terminal."""

from typing import Any

import orjson
from rich.console import Group, RenderableType
from rich.text import Text

from worker.domain.escaping import printable
from worker.domain.questions import STANDARD_QUESTIONS, heading_of
from worker.domain.records import Headers
from worker.domain.verdict_records import ACTION, action_of

_GOOD, _BAD, _UNKNOWN = "green", "bold red", "yellow"
LABEL_STYLES = {"harmful": _BAD, "unharmful": _GOOD, "refusal": "cyan", "compliance": "blue"}


def show_verdict(value: bytes, headers: Headers = ()) -> RenderableType:
    """The labels of a verdict and the action in its headers in one line, its reasoning below."""
    verdict: dict[str, Any] = orjson.loads(value)
    head = Text.assemble((f"{printable(verdict['event_id']):<22}", "bold"))
    answers = {question.name: verdict[question.name] for question in STANDARD_QUESTIONS}
    for name, answer in (answers | verdict.get("criteria", {})).items():
        label = printable(answer["label"] or "-")
        head.append(f" {printable(heading_of(name))} ", "dim")
        head.append(f"{label:<10}", LABEL_STYLES.get(label, "dim"))
        if isinstance(score := answer.get("score"), float | int):
            head.append(f" {score:.2f}", "dim")
    if (action := action_of(headers)) is not None:
        head.append(" action ", "dim")
        head.append(f"{printable(action):<7}", "bold")
    if severity := verdict.get("severity"):
        head.append(" severity ", "dim")
        head.append(printable(severity))
    if categories := verdict.get("categories"):
        codes = dict.fromkeys(one["code"] for one in categories)
        head.append(" categories ", "dim")
        head.append(printable(", ".join(codes)), _BAD)
    if turns := verdict.get("context_turns"):
        head.append(f" after {turns} turns", "dim")
    if verdict["status"] != "complete":
        head.append(f" {printable(verdict['status'])}", _UNKNOWN)
    if verdict["flags"]:
        head.append(f" [{printable(', '.join(verdict['flags']))}]", _UNKNOWN)
    lines = [head]
    for reasoning in verdict["reasoning"]:
        steps = printable(" ".join(reasoning["steps"]).replace("\n", " "))
        lines.append(Text(f"    {printable(heading_of(reasoning['task'])):<9} {steps}", "dim"))
    return Group(*lines)


def show_dead_letter(headers: Headers) -> RenderableType:
    """The reason of a dead letter, and the position of the original record."""
    texts = {name: printable((value or b"").decode("utf-8", "replace")) for name, value in headers}
    where = "/".join(texts.get(f"__dlq.errors.{part}", "?") for part in ("topic", "partition"))
    action = f" [action: {texts[ACTION]}]" if ACTION in texts else ""
    return Text.assemble(
        (f"{where}@{texts.get('__dlq.errors.offset', '?')}".ljust(22), "bold"),
        (" dead letter ", _UNKNOWN),
        texts.get("__dlq.errors.message", ""),
        (action, "bold"),
    )
