"""Verdicts and dead letters as a person wants to read them."""

from typing import Any

import orjson
from rich.console import Group, RenderableType
from rich.text import Text

from worker.domain.escaping import printable
from worker.domain.records import Headers
from worker.domain.verdicts import Task

_GOOD, _BAD, _UNKNOWN = "green", "bold red", "yellow"
LABEL_STYLES = {"harmful": _BAD, "unharmful": _GOOD, "refusal": "cyan", "compliance": "blue"}
# they read on: the response is a refusal, and is harmful
TASK_NAMES = {
    Task.PROMPT_HARMFULNESS: "request",
    Task.RESPONSE_REFUSAL: "response",
    Task.RESPONSE_HARMFULNESS: "and is",
}


def show_verdict(value: bytes) -> RenderableType:
    """A verdict's labels in a line, its reasoning below."""
    verdict: dict[str, Any] = orjson.loads(value)
    head = Text.assemble((f"{printable(verdict['event_id']):<22}", "bold"))
    for task in Task:
        label = printable(verdict[task]["label"] or "-")
        head.append(f" {TASK_NAMES[task]} ", "dim")
        head.append(f"{label:<10}", LABEL_STYLES.get(label, "dim"))
    if verdict["status"] != "complete":
        head.append(f" {printable(verdict['status'])}", _UNKNOWN)
    if verdict["flags"]:
        head.append(f" [{printable(', '.join(verdict['flags']))}]", _UNKNOWN)
    lines = [head]
    for reasoning in verdict["reasoning"]:
        steps = printable(" ".join(reasoning["steps"]).replace("\n", " "))
        lines.append(Text(f"    {TASK_NAMES[Task(reasoning['task'])]:<9} {steps}", "dim"))
    return Group(*lines)


def show_dead_letter(headers: Headers) -> RenderableType:
    """Why a record could not be judged, and where it stood."""
    said = {name: printable((value or b"").decode("utf-8", "replace")) for name, value in headers}
    where = "/".join(said.get(f"__dlq.errors.{part}", "?") for part in ("topic", "partition"))
    return Text.assemble(
        (f"{where}@{said.get('__dlq.errors.offset', '?')}".ljust(22), "bold"),
        (" dead letter ", _UNKNOWN),
        said.get("__dlq.errors.message", ""),
    )
