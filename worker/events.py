"""Bytes to event: what one record asks to be judged.

Accepted are the event itself and the same event as data of a CloudEvent, structured (the envelope
is the value) or binary (attributes in `ce_` headers). Unknown fields are left alone. What cannot
be decoded raises `NotAnEvent` or `NothingToJudge`, whose messages name fields, never content.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from worker.errors import NotAnEvent, NothingToJudge

CLOUDEVENTS_JSON = "application/cloudevents+json"
Framing = Literal["none", "confluent"]
# byte 0, and a schema's id in four
_FRAME_BYTES = 5


def _text_of(content: object) -> object:
    # pydantic's own union would report every branch that failed; one sentence is wanted
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise ValueError("each content part must be an object with a type")  # noqa: TRY004
        if part["type"] != "text":
            raise ValueError("only text parts can be judged")
        if not isinstance(part.get("text"), str):
            raise ValueError("a text part must have a text")  # noqa: TRY004
        texts.append(part["text"])
    return "\n".join(texts)


class TextPart(BaseModel):
    """One part of a message's content."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One turn of a conversation; content parts are joined with line breaks."""

    model_config = ConfigDict(frozen=True)

    role: Literal["system", "user", "assistant", "tool"]
    content: Annotated[
        str,
        BeforeValidator(_text_of, json_schema_input_type=str | list[TextPart]),
    ]


class Event(BaseModel):
    """One exchange between a person and an assistant, as the platform wrote it.

    Either `messages` or `prompt` (with `response`) must be given.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", title="Guardstream event")

    id: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="Names the event; topic, partition and offset do when it is absent.",
    )
    messages: tuple[Message, ...] | None = Field(
        default=None,
        description="The conversation. Judged are the last user message and the answer to it.",
    )
    prompt: str | None = Field(default=None, description="Short form: what the person wrote.")
    response: str | None = Field(default=None, description="Short form: what was answered.")
    conversation_id: str | None = Field(default=None, max_length=1024)
    occurred_at: datetime | None = Field(default=None, description="RFC 3339.")
    model: str | None = Field(default=None, description="The assistant's model.")
    user_id: str | None = None
    tenant: str | None = None
    metadata: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.messages is not None and self.prompt is not None:
            raise ValueError("give messages or prompt, not both")
        if self.messages is None and self.prompt is None:
            raise ValueError("messages or prompt is required")
        return self


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is judged of an event: a request, and the answer to it if there is one."""

    prompt: str
    response: str | None


def judged_exchange(event: Event) -> Exchange:
    """The last user message and the assistant message that follows it, if any.

    Raises:
        NothingToJudge: no message is a user's, or the request is blank.
    """
    if event.messages is None:
        prompt, response = event.prompt or "", event.response
    else:
        users = [at for at, message in enumerate(event.messages) if message.role == "user"]
        if not users:
            raise NothingToJudge("The event has no message of a user; there is nothing to judge.")
        prompt = event.messages[users[-1]].content
        answers = [m.content for m in event.messages[users[-1] + 1 :] if m.role == "assistant"]
        # an assistant that calls tools first answers last
        response = answers[-1] if answers else None
    if not prompt.strip():
        raise NothingToJudge("The user's message is blank; there is nothing to judge.")
    return Exchange(prompt, response)


def unframe(value: bytes, framing: Framing) -> bytes:
    """The JSON of a value: with `confluent`, what stands behind byte 0 and a schema's id.

    So the serialisers of Confluent's schema registry begin a value. The schema is not asked for:
    what an event must have is checked all the same.

    Raises:
        NotAnEvent: the frame is not there.
    """
    if framing == "none":
        return value
    if len(value) < _FRAME_BYTES or value[0]:
        raise NotAnEvent("The value has no frame of a schema registry: byte 0 and a schema's id.")
    return value[_FRAME_BYTES:]


def decode_event(value: bytes, headers: Mapping[str, bytes | None] | None = None) -> Event:
    """The event that a record's value holds.

    Raises:
        NotAnEvent: the value is not JSON, or not an event.
    """
    data = _parse_json(value)
    given = headers or {}
    # a header's value can be null
    content_type = (given.get("content-type") or b"").decode("latin-1")
    content_type = content_type.split(";")[0].strip().lower()
    attributes: Mapping[str, object] = {}
    if content_type == CLOUDEVENTS_JSON or (isinstance(data, dict) and "specversion" in data):
        if not isinstance(data, dict) or not isinstance(data.get("data"), dict):
            raise NotAnEvent("The CloudEvent has no JSON object as its data.")
        attributes, data = data, data["data"]
    elif "ce_specversion" in given:
        attributes = {
            "id": (given.get("ce_id") or b"").decode("utf-8", "replace"),
            "time": (given.get("ce_time") or b"").decode("utf-8", "replace"),
        }
    if not isinstance(data, dict):
        raise NotAnEvent(f"The value is JSON, but {_kind(data)} instead of an object.")
    for field, attribute in (("id", "id"), ("occurred_at", "time")):
        if data.get(field) is None and attributes.get(attribute):
            data[field] = attributes[attribute]
    try:
        return Event.model_validate(data)
    except ValidationError as error:
        raise NotAnEvent(_explain(error)) from None


def _parse_json(value: bytes) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise NotAnEvent(_not_json(value, error)) from None


def _not_json(value: bytes, error: orjson.JSONDecodeError) -> str:
    if not value.strip():
        return "The value is empty."
    try:
        value.decode("utf-8")
    except UnicodeDecodeError as fault:
        return f"The value is not UTF-8 (byte {fault.start})."
    return f"The value is not JSON (line {error.lineno}, column {error.colno})."


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _explain(error: ValidationError) -> str:
    """The first fault in words; pydantic's own text would quote the input."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in fault["loc"])
    what = fault["msg"].removeprefix("Value error, ").rstrip(".")
    return f"Not an event: {where}: {what}." if where else f"Not an event: {what}."
