"""Events: one exchange between a person and an assistant, as a platform wrote it."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from worker.domain.errors import NothingToJudge

MAX_ID_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is judged of an event: a request, and the answer to it if there is one.

    Attributes:
        flags: what a verdict must say of it: `not_all_text` where parts of it could not be read.
    """

    prompt: str
    response: str | None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NoRequest:
    """Why a conversation holds nothing to judge, in a sentence."""

    reason: str


def _lenient(description: str, **schema: Any) -> WithJsonSchema:
    """The schema of a field that is read leniently: it says what is preferred, not what must be."""
    return WithJsonSchema({"default": None, "description": description, **schema})


_CONTENT = {
    "description": (
        "Text, or parts: objects with a `type` and a `text`, or plain strings. Thinking, tool calls"
        " and tool results are no one's words; parts that are not text are left out, and the"
        " verdict is flagged `not_all_text`. Null where the turn says nothing."
    ),
    "examples": ["How do I bake bread?", [{"type": "text", "text": "How do I bake bread?"}]],
}
_MESSAGE = {
    "description": "One turn of a conversation.",
    "properties": {
        "role": {
            "description": (
                "`user` and `assistant` are judged (so are `human`, `ai`, `model` and the like);"
                " any other role is context."
            ),
            "examples": ["user", "assistant", "system", "tool"],
        },
        "content": _CONTENT,
        "parts": {"description": "Instead of `content`, as Gemini has it."},
        "refusal": {"description": "What an assistant said instead of an answer: it is read."},
    },
}
_TEXT_OR_PARTS = {"type": ["string", "array", "object", "null"]}
_ID = f"a string of at most {MAX_ID_CHARACTERS} characters, or a number; anything else is ignored"


# not frozen: that would triple the time it takes to make one
@dataclass(slots=True)
class Event:
    """One exchange between a person and an assistant, as the platform wrote it.

    Either `messages` or `prompt` must be given; `response` goes with both.
    """

    id: Annotated[
        str | None,
        _lenient(
            f"Names the event: {_ID}, and topic, partition and offset name the event.",
            examples=["m-1"],
        ),
    ] = None
    messages: Annotated[
        list[Any] | None,
        _lenient(
            "The conversation. Judged are everything the user wrote since the assistant last said"
            " something, and everything the assistant said after that.",
            type=["array", "null"],
            items=_MESSAGE,
        ),
    ] = None
    prompt: Annotated[
        Any,
        _lenient("Short form: what the user wrote, as text or as parts.", **_TEXT_OR_PARTS),
    ] = None
    response: Annotated[
        Any,
        _lenient(
            "What the assistant answered, as text, as parts or as a message; with `messages` it"
            " follows the last one.",
            **_TEXT_OR_PARTS,
        ),
    ] = None
    conversation_id: Annotated[str | None, _lenient(f"Names the conversation: {_ID}.")] = None
    occurred_at: Annotated[
        datetime | None,
        _lenient(
            "RFC 3339, UTC where it has no zone. RFC 1123 and Unix time (seconds to nanoseconds)"
            " are read too; anything else is ignored.",
            examples=["2026-01-01T00:00:00Z"],
        ),
    ] = None
    model: Annotated[
        str | None,
        _lenient("The assistant's model: a string, or an object with its `name` or `id`."),
    ] = None
    user_id: Annotated[str | None, _lenient(f"Names the user: {_ID}.")] = None
    tenant: Annotated[str | None, _lenient(f"Names the tenant: {_ID}.")] = None
    metadata: Annotated[Any, _lenient("Anything.")] = None
    judged: Annotated[Exchange | NoRequest | None, Field(exclude=True)] = None

    def document(self) -> dict[str, Any]:
        """The fields of the event, as JSON has them."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        del found["judged"]
        return found | {"occurred_at": _rfc3339(self.occurred_at)}


def judged_exchange(event: Event) -> Exchange:
    """What the user wrote since the assistant's last turn, and what was answered after that.

    Raises:
        NothingToJudge: no message is a user's, or the request has no text.
    """
    if isinstance(event.judged, Exchange):
        return event.judged
    raise NothingToJudge(event.judged.reason if event.judged else "The event was not decoded.")


def _rfc3339(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat().replace("+00:00", "Z")
