"""The contracts as documents: JSON Schema 2020-12 and AsyncAPI 3, generated from the models."""

import json
from importlib.metadata import version
from typing import Any

import yaml
from pydantic import TypeAdapter

from worker.domain import dead_letters
from worker.domain.events import Event
from worker.domain.questions import STANDARD_QUESTIONS
from worker.domain.verdicts import Verdict
from worker.operator.redrive.redriving import REDRIVEN_OFFSETS
from worker.runtime.settings import Settings

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def documents() -> dict[str, str]:
    """File name to text."""
    schemas = {
        "event.schema.json": _event(),
        "verdict.schema.json": _verdict(),
        "dead-letter-headers.schema.json": _dead_letter_headers(),
    }
    texts = {name: json.dumps(schema, indent=2) + "\n" for name, schema in schemas.items()}
    texts["asyncapi.yaml"] = yaml.safe_dump(_asyncapi(), sort_keys=False, allow_unicode=True)
    return texts


def _event() -> dict[str, Any]:
    schema = TypeAdapter(Event).json_schema(mode="validation")
    # what the decoder keeps for itself
    del schema["properties"]["judged"], schema["$defs"]
    # the decoder checks these, which no field shows
    schema["anyOf"] = [
        {"required": ["messages"], "properties": {"messages": {"type": "array"}}},
        {"required": ["prompt"], "properties": {"prompt": {"not": {"type": "null"}}}},
    ]
    given = [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1}]
    schema["not"] = {
        "required": ["messages", "prompt"],
        "properties": {
            "messages": {"type": "array", "minItems": 1},
            "prompt": {"anyOf": [*given, {"type": "object"}]},
        },
    }
    return {"$schema": _DIALECT, **schema, "title": "Guardstream event"}


def _verdict() -> dict[str, Any]:
    schema = TypeAdapter(Verdict).json_schema(mode="serialization")
    for question in STANDARD_QUESTIONS:
        labels = {"label": {"enum": [*question.labels, None]}}
        schema["properties"][question.name] |= {"properties": labels}
    return {"$schema": _DIALECT, **schema, "title": "Guardstream verdict"}


def _dead_letter_headers() -> dict[str, Any]:
    always = {
        dead_letters.ORIGIN_TOPIC: "Where the record stood.",
        dead_letters.ORIGIN_PARTITION: "Where the record stood.",
        dead_letters.ORIGIN_OFFSET: "Where the record stood.",
        dead_letters.GROUP: "The consumer group that could not judge it.",
        dead_letters.DELIVERY_COUNT: "How often it was delivered, by `redrive` too.",
        dead_letters.MESSAGE: "Why, in a sentence; never text of the event or the model.",
        dead_letters.STAGE: "decode, render, judge or publish.",
        dead_letters.ERROR: "The kind of error.",
    }
    when_cut = {
        dead_letters.VALUE_SIZE: "The value was cut; its size before, in bytes.",
        dead_letters.VALUE_SHA256: "The sum of the value before it was cut.",
        dead_letters.KEY_SHA256: "Key and headers were left out; the sum of the key.",
        dead_letters.HEADERS_SHA256: "Key and headers were left out; the sum of the headers.",
    }
    return {
        "$schema": _DIALECT,
        "title": "Guardstream dead-letter headers",
        "description": "In addition to the record's own headers; every value is UTF-8 text.",
        "type": "object",
        "properties": {
            name: {"type": "string", "description": what}
            for name, what in (always | when_cut).items()
        },
        "required": list(always),
    }


def _header(name: str, description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": description}},
    }


def _asyncapi() -> dict[str, Any]:
    settings = {name: field.get_default() for name, field in Settings.model_fields.items()}
    channels = {
        "events": (settings["input"].topics[0], ("event",), "receive"),
        "verdicts": (settings["output"].verdict_topic, ("verdict",), "send"),
        "deadLetters": (
            settings["output"].dead_letter_topic,
            ("deadLetter", "redriveNote"),
            "send",
        ),
    }
    labels = {f"guardstream.{question.name}": {"type": "string"} for question in STANDARD_QUESTIONS}
    routing = ("content-type", "guardstream.schema", "guardstream.event_id", "guardstream.status")
    headers = {name: {"type": "string"} for name in routing} | labels
    json_type = "application/json"
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Guardstream",
            "version": version("guardstream"),
            "description": "Chat events in, moderation verdicts with their reasoning out.",
        },
        "defaultContentType": json_type,
        "channels": {
            name: {
                "address": topic,
                "messages": {
                    message: {"$ref": f"#/components/messages/{message}"} for message in messages
                },
            }
            for name, (topic, messages, _) in channels.items()
        },
        "operations": {
            f"{action}{name[0].upper()}{name[1:]}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{name}"},
            }
            for name, (_, _, action) in channels.items()
        },
        "components": {
            "messages": {
                "event": {
                    "contentType": json_type,
                    "headers": _header(
                        dead_letters.DELIVERED_BEFORE,
                        "On an event that `redrive` sent back: how often it was delivered before.",
                    ),
                    "payload": _ref("event.schema.json"),
                },
                "verdict": {
                    "contentType": json_type,
                    "headers": {"type": "object", "properties": headers},
                    "payload": _ref("verdict.schema.json"),
                },
                "deadLetter": {
                    "headers": _ref("dead-letter-headers.schema.json"),
                    "payload": {"description": "The original value, untouched."},
                },
                "redriveNote": {
                    "headers": _header(
                        REDRIVEN_OFFSETS,
                        "The only header: offsets of the dead letters of this partition that were"
                        " sent back.",
                    ),
                    "payload": {"description": "Empty."},
                },
            }
        },
    }


def _ref(file: str) -> dict[str, str]:
    return {"$ref": f"./{file}"}
