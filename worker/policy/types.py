"""The types of what a rule can name: a mistake is found when a policy is loaded.

A verdict is to CEL a message whose optional fields are wrappers: null where a verdict has none,
`has()` is false then, null equals only null, and comparing it by order is an error.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

from worker.domain.judgements import LabelSource, Status
from worker.domain.questions import (
    PROMPT_HARMFULNESS,
    RESPONSE_HARMFULNESS,
    RESPONSE_REFUSAL,
    Question,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Type:
    """What values an expression can have.

    Attributes:
        name: in messages.
        nullable: whether it can be null.
        values: all strings that it can be, where they are known.
        element: of a list, or of the values of a map.
        fields: of an object.
    """

    name: str
    nullable: bool = False
    values: frozenset[str] | None = None
    element: "Type | None" = None
    fields: "Mapping[str, Type] | None" = None

    @property
    def is_number(self) -> bool:
        """Whether it is an integer or a double, which compare with each other."""
        return self.name in {"int", "double"}

    @property
    def is_scalar(self) -> bool:
        """Whether it is no list, map or object."""
        return self.element is None and self.fields is None


BOOL = Type("bool")
INT = Type("int")
DOUBLE = Type("double")
STRING = Type("string")
NULL = Type("null", nullable=True)


def optional(kind: Type) -> Type:
    """The type, or null."""
    return replace(kind, nullable=True)


def list_of(element: Type) -> Type:
    """A list."""
    return Type(f"list of {element.name}", element=element)


def one_of(values: tuple[str, ...]) -> Type:
    """A string that is one of these."""
    return replace(STRING, values=frozenset(values))


def _reading(label: Type) -> Type:
    source = optional(one_of(get_args(LabelSource)))
    return Type(
        "answer", fields={"label": optional(label), "score": optional(DOUBLE), "source": source}
    )


_CATEGORY = Type(
    "category", fields={"task": STRING, "code": STRING, "name": STRING, "score": optional(DOUBLE)}
)
# the standard tasks by the names that rules use; each can be named in full too
TASKS: dict[str, Question] = {
    "prompt": PROMPT_HARMFULNESS,
    "refusal": RESPONSE_REFUSAL,
    "response": RESPONSE_HARMFULNESS,
}
FULL_NAMES = {question.name: short for short, question in TASKS.items()}
NAMES: dict[str, Type] = {
    **{name: _reading(one_of(question.labels)) for name, question in TASKS.items()},
    "criteria": Type("map of answers", element=_reading(STRING), fields={}),
    "categories": list_of(_CATEGORY),
    "severity": optional(STRING),
    "flags": list_of(STRING),
    "status": one_of(get_args(Status)),
    "reasoned": BOOL,
    "tenant": optional(STRING),
    "user_id": optional(STRING),
    "conversation_id": optional(STRING),
}


def is_map(kind: Type) -> bool:
    """Whether it is a map from strings."""
    return kind.element is not None and kind.fields is not None


def is_list(kind: Type) -> bool:
    """Whether it is a list."""
    return kind.element is not None and kind.fields is None


def are_comparable(one: Type, other: Type) -> bool:
    """Whether two types can be equal: numbers of any kind, null with what can be null."""
    if NULL.name in (one.name, other.name):
        return one.nullable and other.nullable
    if is_list(one) and is_list(other) and one.element and other.element:
        return are_comparable(one.element, other.element)
    if not (one.is_scalar and other.is_scalar):
        return False
    return one.name == other.name or (one.is_number and other.is_number)


def common_type(one: Type, other: Type) -> Type | None:
    """The type of what is one or the other; None if they have none in common."""
    if NULL.name in (one.name, other.name):
        return optional(other if one.name == NULL.name else one)
    if one.name != other.name:
        return None
    both = one.values | other.values if one.values and other.values else None
    return replace(one, nullable=one.nullable or other.nullable, values=both)


def described(kind: Type) -> str:
    """A type with its article, for messages."""
    if kind.name == NULL.name:
        return "null"
    return f"{'an' if kind.name[0] in 'aeiou' else 'a'} {kind.name}"
