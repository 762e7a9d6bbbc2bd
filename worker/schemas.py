"""The contracts as documents: JSON Schema 2020-12 and AsyncAPI 3, generated from the models."""

import json
from importlib.metadata import version
from typing import Any

import yaml
from pydantic import TypeAdapter

from worker.events import Event
from worker.settings import Settings
from worker.verdicts import Task, Verdict

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
    schema = Event.model_json_schema(mode="validation")
    # the model says so in a validator, which no schema shows
    schema["oneOf"] = [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
        for name in ("messages", "prompt")
    ]
    return {"$schema": _DIALECT, **schema}


def _verdict() -> dict[str, Any]:
    schema = TypeAdapter(Verdict).json_schema(mode="serialization")
    return {"$schema": _DIALECT, **schema, "title": "Guardstream verdict"}


def _dead_letter_headers() -> dict[str, Any]:
    said = {
        "__dlq.errors.topic": "Where the record stood.",
        "__dlq.errors.partition": "Where the record stood.",
        "__dlq.errors.offset": "Where the record stood.",
        "__dlq.errors.group": "The consumer group that could not judge it.",
        "__dlq.errors.delivery.count": "How often it was delivered.",
        "__dlq.errors.message": "Why, in a sentence; never text of the event or the model.",
        "guardstream.stage": "decode, render, judge or publish.",
        "guardstream.error": "The kind of error.",
    }
    return {
        "$schema": _DIALECT,
        "title": "Guardstream dead-letter headers",
        "description": "Beside the record's own headers; every value is UTF-8 text.",
        "type": "object",
        "properties": {
            name: {"type": "string", "description": what} for name, what in said.items()
        },
        "required": list(said),
    }


def _asyncapi() -> dict[str, Any]:
    settings = {name: field.get_default() for name, field in Settings.model_fields.items()}
    channels = {
        "events": (settings["input"].topics[0], "event", "receive"),
        "verdicts": (settings["output"].verdict_topic, "verdict", "send"),
        "deadLetters": (settings["output"].dead_letter_topic, "deadLetter", "send"),
    }
    labels = {f"guardstream.{task}": {"type": "string"} for task in Task}
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
                "messages": {message: {"$ref": f"#/components/messages/{message}"}},
            }
            for name, (topic, message, _) in channels.items()
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
                "event": {"contentType": json_type, "payload": _ref("event.schema.json")},
                "verdict": {
                    "contentType": json_type,
                    "headers": {"type": "object", "properties": headers},
                    "payload": _ref("verdict.schema.json"),
                },
                "deadLetter": {
                    "headers": _ref("dead-letter-headers.schema.json"),
                    "payload": {"description": "The original value, untouched."},
                },
            }
        },
    }


def _ref(file: str) -> dict[str, str]:
    return {"$ref": f"./{file}"}
