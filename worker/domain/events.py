"""Events: one exchange between a user and an assistant, as the platform recorded it."""

from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from worker.domain.errors import NothingToJudge

MAX_ID_CHARACTERS = 1024
# the flag of a verdict on an exchange of which earlier turns were left out
CONTEXT_TRUNCATED = "context_truncated"


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier turn of a conversation: everything that one side wrote before the other did."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """The part of an event that is judged: a request, and the answer to it if there is one.

    Attributes:
        flags: copied to the verdict: `not_all_text` where parts could not be read, and
            `context_truncated`.
        context: earlier turns of the conversation, which are not judged: user and assistant in
            turn, the user first, the assistant last.
    """

    prompt: str
    response: str | None
    flags: tuple[str, ...] = ()
    context: tuple[Turn, ...] = ()

    def with_newest(self, turns: int) -> "Exchange":
        """With at most so many of its earlier turns, and flagged if that leaves any out.

        A context begins with the user, so an odd number counts as one less.
        """
        kept = turns - turns % 2
        if kept >= len(self.context):
            return self
        context = self.context[-kept:] if kept else ()
        flags = tuple(dict.fromkeys((*self.flags, CONTEXT_TRUNCATED)))
        return replace(self, context=context, flags=flags)


class Skip(StrEnum):
    """Why an exchange is neither judged nor dead-lettered."""

    NOT_AN_EXCHANGE = "not_an_exchange"
    FILTERED = "filtered"
    NOT_SAMPLED = "not_sampled"


@dataclass(frozen=True, slots=True)
class NoRequest:
    """A conversation without anything to judge; `reason` is one sentence."""

    reason: str


def _lenient(description: str, **schema: Any) -> WithJsonSchema:
    """The schema of a field that is read leniently: it describes the preferred form only."""
    return WithJsonSchema({"default": None, "description": description, **schema})


_CONTENT = {
    "description": (
        "Text, or parts: objects with a `type` and a `text`, or plain strings. Thinking, tool calls"
        " and tool results are not judged. Parts that are not text are left out, and the verdict"
        " is flagged `not_all_text`. Null for a turn without text."
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
        "parts": {"description": "Instead of `content`, in Gemini's format."},
        "refusal": {"description": "An assistant's refusal, as OpenAI returns it: it is judged."},
    },
}
_TEXT_OR_PARTS = {"type": ["string", "array", "object", "null"]}
_ID = f"a string of at most {MAX_ID_CHARACTERS} characters, or a number; anything else is ignored"


# not frozen: construction would take three times as long
@dataclass(slots=True)
class Event:
    """One exchange between a user and an assistant, as the platform recorded it.

    Either `messages` or `prompt` is required; `response` can be added to both.
    """

    id: Annotated[
        str | None,
        _lenient(
            f"Identifies the event: {_ID}, and topic, partition and offset identify the event.",
            examples=["m-1"],
        ),
    ] = None
    messages: Annotated[
        list[Any] | None,
        _lenient(
            "The conversation. Two parts are judged: the request, which is everything the user"
            " wrote since the assistant's previous answer, and the response, which is everything"
            " the assistant wrote after that.",
            type=["array", "null"],
            items=_MESSAGE,
        ),
    ] = None
    prompt: Annotated[
        Any,
        _lenient("Short form: the user's request, as text or as parts.", **_TEXT_OR_PARTS),
    ] = None
    response: Annotated[
        Any,
        _lenient(
            "The assistant's answer, as text, as parts or as a message; with `messages`, it follows"
            " the last message.",
            **_TEXT_OR_PARTS,
        ),
    ] = None
    conversation_id: Annotated[str | None, _lenient(f"Identifies the conversation: {_ID}.")] = None
    occurred_at: Annotated[
        datetime | None,
        _lenient(
            "RFC 3339, UTC if it has no time zone. RFC 1123 and Unix time (seconds to nanoseconds)"
            " are accepted too; anything else is ignored.",
            examples=["2026-01-01T00:00:00Z"],
        ),
    ] = None
    model: Annotated[
        str | None,
        _lenient("The assistant's model: a string, or an object with its `name` or `id`."),
    ] = None
    user_id: Annotated[str | None, _lenient(f"Identifies the user: {_ID}.")] = None
    tenant: Annotated[str | None, _lenient(f"Identifies the tenant: {_ID}.")] = None
    metadata: Annotated[Any, _lenient("Any JSON value.")] = None
    judged: Annotated[Exchange | NoRequest | None, Field(exclude=True)] = None

    def document(self) -> dict[str, Any]:
        """The fields of the event, as values for JSON."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        del found["judged"]
        return found | {"occurred_at": _rfc3339(self.occurred_at)}


def judged_exchange(event: Event) -> Exchange:
    """The exchange of an event that is judged, see `worker.decoding.conversation`.

    Raises:
        NothingToJudge: no message is from a user, or the request has no text.
    """
    if isinstance(event.judged, Exchange):
        return event.judged
    raise NothingToJudge(event.judged.reason if event.judged else "The event was not decoded.")


def _rfc3339(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat().replace("+00:00", "Z")
