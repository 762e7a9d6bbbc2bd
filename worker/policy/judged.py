"""What a policy sees of a verdict: the same of the worker's object and of a stored document."""

from collections.abc import Mapping
from datetime import date
from operator import attrgetter
from typing import Any, NamedTuple, cast, get_args

from worker.domain.errors import GuardstreamError
from worker.domain.judgements import Category, LabelSource, Reading, Status
from worker.domain.verdicts import Verdict
from worker.policy.types import TASKS


class NotAVerdict(GuardstreamError):  # noqa: N818
    """A document is not a verdict."""


class Judged(NamedTuple):
    """The fields of a verdict that a policy uses, the three tasks by their short names."""

    prompt: Reading
    refusal: Reading
    response: Reading
    verdict_id: str
    event_id: str
    conversation_id: str | None
    user_id: str | None
    tenant: str | None
    status: Status
    criteria: Mapping[str, Reading]
    categories: tuple[Category, ...]
    severity: str | None
    reasoned: bool
    flags: tuple[str, ...]
    judged_at: str


_TASK_NAMES = tuple(question.name for question in TASKS.values())
_SAME = tuple(name for name in Judged._fields if name not in TASKS)
_of_verdict = attrgetter(*_TASK_NAMES, *_SAME)
_SOURCES = frozenset((*get_args(LabelSource), None))
_STATUSES = frozenset(get_args(Status))


def judged(verdict: Verdict) -> Judged:
    """What a policy sees of the worker's verdict."""
    return Judged._make(_of_verdict(verdict))


def read_judged(document: Any) -> Judged:
    """What a policy sees of a stored verdict, of version 1 or 2.

    Raises:
        NotAVerdict: it is none.
    """
    if type(document) is not dict:
        raise NotAVerdict("a verdict is a JSON object")
    get = document.get
    prompt, refusal, response = (_reading(get(name), name) for name in _TASK_NAMES)
    status, judged_at, reasoned = get("status"), get("judged_at"), get("reasoned", True)
    if status not in _STATUSES:
        raise NotAVerdict(f"status is none of {', '.join(sorted(_STATUSES))}")
    if type(reasoned) is not bool:
        raise NotAVerdict("reasoned is not true or false")
    first = _text(judged_at, "judged_at")[:10]
    try:
        day = date.fromisoformat(first)
    except ValueError:
        day = None
    # other forms of ISO 8601, such as 2026-W48-6, are not in order as text
    if day is None or first != day.isoformat():
        raise NotAVerdict("judged_at is not a time in RFC 3339")
    return Judged(
        prompt,
        refusal,
        response,
        _text(get("verdict_id"), "verdict_id"),
        _text(get("event_id"), "event_id"),
        _optional(get("conversation_id"), "conversation_id"),
        _optional(get("user_id"), "user_id"),
        _optional(get("tenant"), "tenant"),
        cast("Status", status),
        _criteria(get("criteria") or {}),
        tuple(map(_category, _listed(get("categories"), "categories"))),
        _optional(get("severity"), "severity"),
        reasoned,
        tuple(_text(flag, "flags") for flag in _listed(get("flags"), "flags")),
        cast("str", judged_at),
    )


def _reading(held: Any, where: str) -> Reading:
    if type(held) is not dict:
        raise NotAVerdict(f"{where} is not an object")
    source = held.get("source")
    # a list is no key
    if type(source) is list or type(source) is dict or source not in _SOURCES:
        raise NotAVerdict(f"{where}.source is unknown")
    return Reading(_optional(held.get("label"), where), _score(held.get("score"), where), source)


def _criteria(held: Any) -> Mapping[str, Reading]:
    if type(held) is not dict:
        raise NotAVerdict("criteria is not an object")
    return {name: _reading(one, "criteria") for name, one in held.items()}


def _category(held: Any) -> Category:
    if type(held) is not dict:
        raise NotAVerdict("categories has an element that is not an object")
    get = held.get
    task, code, name = (_text(get(field), "categories") for field in ("task", "code", "name"))
    return Category(task, code, name, _score(get("score"), "categories"))


def _listed(held: Any, where: str) -> list[Any]:
    if held is None:
        return []
    if type(held) is not list:
        raise NotAVerdict(f"{where} is not a list")
    return held


def _text(held: Any, where: str) -> str:
    if type(held) is not str:
        raise NotAVerdict(f"{where} is not text")
    return held


def _optional(held: Any, where: str) -> str | None:
    if held is None or type(held) is str:
        return held
    raise NotAVerdict(f"{where} is not text")


def _score(held: Any, where: str) -> float | None:
    if held is None:
        return None
    if type(held) not in (float, int) or not 0 <= held <= 1:
        raise NotAVerdict(f"{where} has a score that is not a number from 0 to 1")
    return float(held)
