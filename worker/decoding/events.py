"""Bytes to event.

A value is an event, or a CloudEvent with an event as its data, structured (the envelope is the
value) or binary (attributes in `ce_` headers). Fields that are not judged are read leniently, and
unknown ones are ignored. A value that cannot be decoded raises `NotAnEvent` or `NothingToJudge`;
their messages name fields and never contain content.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from worker.decoding.content import kind_of
from worker.decoding.conversation import SUGGEST, read_messages, read_prompt, read_turns
from worker.decoding.json_values import parse_json
from worker.decoding.side_fields import identifier, model_name, time_in_utc
from worker.domain.errors import NotAnEvent
from worker.domain.events import Event, Exchange, NoRequest

CLOUDEVENTS_JSON = "application/cloudevents+json"
CLOUDEVENTS_BATCH = "application/cloudevents-batch+json"

_NO_ATTRIBUTES: Mapping[str, object] = {}

_ONE_MESSAGE = 'see "One message in each record" in docs/adopt.md'

# top-level keys of other formats, what these are called, and the presets that read them or advice
_OTHER_SHAPES: tuple[tuple[tuple[str, ...], str, tuple[str, ...] | str], ...] = (
    (("resourceSpans",), "OTLP traces", ("otel-genai",)),
    (("resourceLogs",), "OTLP logs", ("otel-genai",)),
    (("gen_ai.input.messages",), "OpenTelemetry's gen_ai attributes", ("otel-genai",)),
    (("attributes", "body"), "an OpenTelemetry log record", ("otel-genai",)),
    (("custom_id", "result"), "a result of Anthropic's message batches", ("anthropic-messages",)),
    (("custom_id", "response"), "a line of OpenAI's batch output", ("openai-chat",)),
    (("batch",), "a batch of Langfuse's ingestion API", ("langfuse",)),
    (("request_body",), "a request that Helicone logged", ("helicone",)),
    (("schemaType", "operation"), "Bedrock's log of model invocations", ("bedrock-converse",)),
    (("full_request",), "Vertex AI's request-response log", ("gemini",)),
    (("choices",), "an OpenAI response body", ("openai-chat",)),
    (("candidates",), "a Gemini response body", ("gemini",)),
    (("contents",), "a Gemini request body", ("gemini",)),
    (
        ("schema", "payload"),
        "a value of Kafka Connect's JsonConverter",
        "set schemas.enable=false at the converter",
    ),
    (("chat",), "a chat of Open WebUI", ("open-webui",)),
    (("conversations",), "a ShareGPT conversation", ("sharegpt",)),
    (("conversation_hash", "conversation"), "a conversation of WildChat", ("wildchat",)),
    (("conversation",), "a conversation of LMSYS-Chat-1M", ("lmsys",)),
    (("request", "response"), "a log of requests and responses", SUGGEST),
    (
        ("input", "output"),
        "a Langfuse trace or an OpenAI Responses body",
        ("langfuse", "openai-responses"),
    ),
    (("input",), "an OpenAI Responses request body", ("openai-responses",)),
    (("content",), "a single message", _ONE_MESSAGE),
    (("text",), "a single message", _ONE_MESSAGE),
)


def turns_of(event: Event) -> Iterator[tuple[str, str]]:
    """Role and text of each turn, for display."""
    messages = event.messages
    if messages is None:
        messages = [{"role": "user", "content": event.prompt}]
    yield from read_turns(messages)
    if event.response is not None:
        yield from read_turns([{"role": "assistant", "content": event.response}])


def decode_event(value: bytes, headers: Mapping[str, bytes | None] | None = None) -> Event:
    """The event in the value of a record.

    Raises:
        NotAnEvent: the value is not JSON, or not an event.
    """
    return read_event(parse_json(value), headers)


def read_event(
    data: Any, headers: Mapping[str, bytes | None] | None = None, context_turns: int = 0
) -> Event:
    """The event in data that was read from a record's value.

    Raises:
        NotAnEvent: it is not an event.
    """
    data, attributes, content_type = unwrap_cloudevent(data, headers)
    if type(data) is not dict:
        raise NotAnEvent(_not_an_object(data, content_type))
    if data.get("messages") is None and data.get("prompt") is None:
        raise NotAnEvent(_no_conversation(data))
    return event_of(data, attributes, context_turns)


def unwrap_cloudevent(
    data: Any, headers: Mapping[str, bytes | None] | None = None
) -> tuple[Any, Mapping[str, object], str]:
    """The data without the envelope of a CloudEvent, its attributes, and the content type.

    Raises:
        NotAnEvent: a CloudEvent has no data.
    """
    given = {name.lower(): held for name, held in headers.items()} if headers else {}
    content_type = _content_type(given) if given else ""
    if content_type == CLOUDEVENTS_JSON or (type(data) is dict and "specversion" in data):
        return _cloudevent_data(data), data, content_type
    if "ce_specversion" in given:
        attributes = {name: _text(given.get(f"ce_{name}")) for name in ("id", "time")}
        return data, attributes, content_type
    return data, _NO_ATTRIBUTES, content_type


def event_of(
    fields: Mapping[str, Any],
    attributes: Mapping[str, object] = _NO_ATTRIBUTES,
    context_turns: int = 0,
) -> Event:
    """The event of these fields, of which `messages` or `prompt` is given.

    `attributes` are those of a CloudEvent, whose `id` and `time` are used where fields lack. Up to
    `context_turns` earlier turns become the context of the exchange that is judged.

    Raises:
        NotAnEvent: what is judged has an unknown format.
    """
    get = fields.get
    messages, prompt, response = get("messages"), get("prompt"), get("response")
    judged: Exchange | NoRequest
    if type(messages) is list and (messages or prompt is None):
        if prompt is not None and prompt not in ("", []):
            raise NotAnEvent("Not an event: give messages or prompt, not both.")
        judged = read_messages(messages, response, context_turns)
        prompt = None
    elif prompt is not None:
        if messages:
            raise NotAnEvent("Not an event: give messages or prompt, not both.")
        judged = read_prompt(prompt, response)
        messages = None
    else:
        raise NotAnEvent(f"Not an event: messages is {kind_of(messages)} instead of an array.")
    own_id = identifier(get("id"))
    occurred_at = get("occurred_at")
    when = None if occurred_at is None else time_in_utc(occurred_at)
    if attributes:
        own_id = own_id or identifier(attributes.get("id"))
        when = when or time_in_utc(attributes.get("time"))
    return Event(
        own_id,
        messages,
        prompt,
        response,
        identifier(get("conversation_id")),
        when,
        model_name(get("model")),
        identifier(get("user_id")),
        identifier(get("tenant")),
        get("metadata"),
        judged,
    )


def _content_type(headers: Mapping[str, bytes | None]) -> str:
    # Spring uses another name and quotes the value
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


def _no_conversation(data: dict[str, Any]) -> str:
    wanted = "messages or prompt is required at the top level"
    for names, whose, read_by in _OTHER_SHAPES:
        if all(name in data for name in names):
            advice = (
                read_by if type(read_by) is str else f"set input.mapping to {' or '.join(read_by)}"
            )
            looks = f"by {' and '.join(names)} this looks like {whose}"
            return f"Not an event: {wanted}; {looks}: {advice}."
    return f"Not an event: {wanted}."
