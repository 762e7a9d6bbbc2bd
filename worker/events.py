"""Bytes to event: what one record asks to be judged.

Accepted are the event itself and the same event as data of a CloudEvent, structured (the envelope
is the value) or binary (attributes in `ce_` headers). Fields beside the conversation are read as
far as they can be, and unknown ones are left alone. What cannot be decoded raises `NotAnEvent` or
`NothingToJudge`, whose messages name fields, never content.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from worker.content import kind_of
from worker.conversation import Exchange, NoRequest, read_messages, read_prompt, read_turns
from worker.errors import NotAnEvent, NothingToJudge
from worker.framing import Framing, unframe
from worker.json_values import parse_json
from worker.side_fields import MAX_ID_CHARACTERS, as_text, identifier, model_name, moment

__all__ = ["Event", "Exchange", "Framing", "decode_event", "judged_exchange", "unframe"]

CLOUDEVENTS_JSON = "application/cloudevents+json"
CLOUDEVENTS_BATCH = "application/cloudevents-batch+json"

# what other logs of chats have at the top level, and whose they are
_OTHER_SHAPES = (
    (("resourceSpans",), "OTLP traces"),
    (("resourceLogs",), "OTLP logs"),
    (("gen_ai.input.messages",), "OpenTelemetry's gen_ai attributes"),
    (("attributes", "body"), "an OpenTelemetry log record"),
    (("custom_id", "response"), "a line of OpenAI's batch output"),
    (("batch",), "a batch of Langfuse's ingestion API"),
    (("choices",), "an OpenAI response body"),
    (("candidates",), "a Gemini response body"),
    (("contents",), "a Gemini request body"),
    (("schema", "payload"), "a value of Kafka Connect's JsonConverter (set schemas.enable=false)"),
    (("conversations",), "a ShareGPT conversation"),
    (("conversation",), "a conversation of a data set"),
    (("request", "response"), "a log of requests and responses"),
    (("input", "output"), "a Langfuse trace or an OpenAI Responses body"),
    (("input",), "an OpenAI Responses request body"),
    (("content",), "a single message"),
    (("text",), "a single message"),
)


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
        return found | {"occurred_at": as_text(self.occurred_at)}

    def turns(self) -> Iterator[tuple[str, str]]:
        """Role and text of each turn, for people to look at."""
        messages = self.messages
        if messages is None:
            messages = [{"role": "user", "content": self.prompt}]
        yield from read_turns(messages)
        if self.response is not None:
            yield from read_turns([{"role": "assistant", "content": self.response}])


def judged_exchange(event: Event) -> Exchange:
    """What the user wrote since the assistant's last turn, and what was answered after that.

    Raises:
        NothingToJudge: no message is a user's, or the request has no text.
    """
    if isinstance(event.judged, Exchange):
        return event.judged
    raise NothingToJudge(event.judged.reason if event.judged else "The event was not decoded.")


def decode_event(value: bytes, headers: Mapping[str, bytes | None] | None = None) -> Event:
    """The event that a record's value holds.

    Raises:
        NotAnEvent: the value is not JSON, or not an event.
    """
    given = {name.lower(): held for name, held in headers.items()} if headers else {}
    data = parse_json(value)
    attributes: Mapping[str, object] = {}
    content_type = _content_type(given) if given else ""
    if content_type == CLOUDEVENTS_JSON or (type(data) is dict and "specversion" in data):
        attributes, data = data, _cloudevent_data(data)
    elif "ce_specversion" in given:
        attributes = {name: _text(given.get(f"ce_{name}")) for name in ("id", "time")}
    if type(data) is not dict:
        raise NotAnEvent(_not_an_object(data, content_type))
    messages, prompt, response = data.get("messages"), data.get("prompt"), data.get("response")
    judged: Exchange | NoRequest
    if type(messages) is list and (messages or prompt is None):
        if prompt is not None and prompt not in ("", []):
            raise NotAnEvent("Not an event: give messages or prompt, not both.")
        judged = read_messages(messages, response)
        prompt = None
    elif prompt is not None:
        if messages:
            raise NotAnEvent("Not an event: give messages or prompt, not both.")
        judged = read_prompt(prompt, response)
        messages = None
    else:
        raise NotAnEvent(_no_conversation(data, messages))
    own_id = identifier(data.get("id"))
    occurred_at = data.get("occurred_at")
    when = None if occurred_at is None else moment(occurred_at)
    if attributes:
        own_id = own_id or identifier(attributes.get("id"))
        when = when or moment(attributes.get("time"))
    return Event(
        own_id,
        messages,
        prompt,
        response,
        identifier(data.get("conversation_id")),
        when,
        model_name(data.get("model")),
        identifier(data.get("user_id")),
        identifier(data.get("tenant")),
        data.get("metadata"),
        judged,
    )


def _content_type(headers: Mapping[str, bytes | None]) -> str:
    # Spring writes another name and quotes the value
    held = headers.get("content-type") or headers.get("contenttype")
    return _text(held).partition(";")[0].strip(' "\t').lower()


def _text(held: bytes | None) -> str:
    # a header's value can be null
    return (held or b"").decode("utf-8", "replace")


def _cloudevent_data(envelope: object) -> dict[str, Any]:
    data = envelope.get("data") if isinstance(envelope, dict) else None
    try:
        if data is None and isinstance(envelope, dict):
            encoded = envelope.get("data_base64")
            if isinstance(encoded, str):
                data = parse_json(base64.b64decode(encoded))
        elif isinstance(data, str):
            data = parse_json(data.encode())
    except (NotAnEvent, binascii.Error, ValueError):
        data = None
    if not isinstance(data, dict):
        raise NotAnEvent("The CloudEvent has no JSON object as its data.")
    return data


def _not_an_object(data: object, content_type: str) -> str:
    if isinstance(data, list):
        first = data[0] if data else None
        if content_type == CLOUDEVENTS_BATCH or (
            isinstance(first, dict) and "specversion" in first
        ):
            return (
                "The value is a batch of CloudEvents: produce each CloudEvent as its own record,"
                " in structured or binary mode."
            )
        if isinstance(first, dict) and not first.keys().isdisjoint({"messages", "prompt"}):
            return (
                "The value is JSON, but an array instead of an object: produce each event as its"
                " own record."
            )
    if isinstance(data, str) and data.lstrip()[:1] == "{":
        return "The value is JSON, but a string instead of an object: it was encoded twice."
    return f"The value is JSON, but {kind_of(data)} instead of an object."


def _no_conversation(data: dict[str, Any], messages: object) -> str:
    if messages is not None:
        return f"Not an event: messages is {kind_of(messages)} instead of an array."
    wanted = "messages or prompt is required at the top level"
    for names, whose in _OTHER_SHAPES:
        if all(name in data for name in names):
            return f"Not an event: {wanted}; by {' and '.join(names)} this looks like {whose}."
    return f"Not an event: {wanted}."
