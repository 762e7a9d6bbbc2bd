"""JSON Schema 2020-12 and AsyncAPI 3 documents of the contract, generated from the models."""

import json
from importlib.metadata import version
from typing import Any

import yaml
from pydantic import TypeAdapter

from worker.decoding.mapping import MappingFile
from worker.domain import dead_letters
from worker.domain.decisions import Decision
from worker.domain.events import Event
from worker.domain.exchange_numbers import EXCHANGES
from worker.domain.questions import STANDARD_QUESTIONS
from worker.domain.verdict_records import ACTION, SHAPE
from worker.domain.verdicts import Verdict
from worker.guards.declared.description import Description
from worker.operator.redrive.redriving import REDRIVEN_OFFSETS
from worker.policy.file import PolicyFile
from worker.runtime.calibration_file import CALIBRATION
from worker.runtime.settings import Settings
from worker.runtime.settings.schema import settings_schema

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def documents() -> dict[str, str]:
    """The text of each document, by its file name."""
    schemas = {
        "event.schema.json": _event(),
        "verdict.schema.json": _verdict(),
        "decision.schema.json": _decision(),
        "dead-letter-headers.schema.json": _dead_letter_headers(),
        "mapping.schema.json": _mapping(),
        "policy.schema.json": _policy(),
        "guard.schema.json": _guard(),
        "calibration.schema.json": _calibration(),
        "settings.schema.json": settings_schema(),
    }
    texts = {name: json.dumps(schema, indent=2) + "\n" for name, schema in schemas.items()}
    texts["asyncapi.yaml"] = yaml.safe_dump(_asyncapi(), sort_keys=False, allow_unicode=True)
    return texts


def _event() -> dict[str, Any]:
    schema = TypeAdapter(Event).json_schema(mode="validation")
    # internal to the decoder
    del schema["properties"]["judged"], schema["$defs"]
    # checks of the decoder that are not in the model
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


def _decision() -> dict[str, Any]:
    schema = TypeAdapter(Decision).json_schema(mode="serialization")
    return {"$schema": _DIALECT, **schema, "title": "Guardstream decision"}


def _dead_letter_headers() -> dict[str, Any]:
    always = {
        dead_letters.ORIGIN_TOPIC: "The topic of the record.",
        dead_letters.ORIGIN_PARTITION: "The partition of the record.",
        dead_letters.ORIGIN_OFFSET: "The offset of the record.",
        dead_letters.GROUP: "The consumer group that could not judge it.",
        dead_letters.DELIVERY_COUNT: "The number of deliveries, including those by `redrive`.",
        dead_letters.MESSAGE: "The reason, in a sentence; never text of the event or the model.",
        dead_letters.STAGE: "decode, render, judge or publish.",
        dead_letters.ERROR: "The kind of error.",
    }
    of_some = {
        EXCHANGES: "Of a record that holds several exchanges, the numbers of those that cannot be"
        " judged, as ranges: 0,3-5. The others have verdicts.",
        ACTION: "Where a policy decides: its action for an event without a verdict.",
    }
    when_truncated = {
        dead_letters.VALUE_SIZE: "The value was truncated; its original size, in bytes.",
        dead_letters.VALUE_SHA256: "SHA-256 of the original value.",
        dead_letters.KEY_SHA256: "Key and headers were removed; SHA-256 of the key.",
        dead_letters.HEADERS_SHA256: "Key and headers were removed; SHA-256 of the headers.",
    }
    return {
        "$schema": _DIALECT,
        "title": "Guardstream dead-letter headers",
        "description": "In addition to the headers of the record; each value is UTF-8 text.",
        "type": "object",
        "properties": {
            name: {"type": "string", "description": description}
            for name, description in (always | of_some | when_truncated).items()
        },
        "required": list(always),
    }


def _mapping() -> dict[str, Any]:
    return {"$schema": _DIALECT, **MappingFile.model_json_schema(), "title": "Guardstream mapping"}


def _policy() -> dict[str, Any]:
    return {"$schema": _DIALECT, **PolicyFile.model_json_schema(), "title": "Guardstream policy"}


def _guard() -> dict[str, Any]:
    schema = Description.model_json_schema()
    return {"$schema": _DIALECT, **schema, "title": "Guardstream guard description"}


def _calibration() -> dict[str, Any]:
    schema = CALIBRATION.json_schema()
    return {"$schema": _DIALECT, **schema, "title": "Guardstream calibration"}


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
        "decisions": (settings["output"].decision_topic, ("decision",), "send"),
    }
    labels = {f"guardstream.{question.name}": {"type": "string"} for question in STANDARD_QUESTIONS}
    routing = ("content-type", "guardstream.schema", "guardstream.event_id", "guardstream.status")
    categories = {
        "guardstream.categories": {
            "type": "string",
            "description": "The codes of the categories, if there are any, with commas between.",
        }
    }
    action = {ACTION: {"type": "string", "description": "What the policy decided."}}
    headers = {name: {"type": "string"} for name in routing} | labels | categories | action
    shape = {
        SHAPE: {
            "type": "string",
            "description": "The shape of the value, where `output.decision_shape` sets another one"
            " than guardstream: docs/policy.md.",
        }
    }
    decision_headers = {
        name: {"type": "string"} for name in (*routing[:3], "guardstream.verdict_id", ACTION)
    } | shape
    json_type = "application/json"
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Guardstream",
            "version": version("guardstream"),
            "description": "Chat events in, moderation verdicts with reasoning out, and decisions.",
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
                        "On an event that `redrive` sent back: the number of earlier deliveries.",
                    ),
                    "payload": _ref("event.schema.json"),
                },
                "verdict": {
                    "contentType": json_type,
                    "headers": {"type": "object", "properties": headers},
                    "payload": _ref("verdict.schema.json"),
                },
                "decision": {
                    "contentType": json_type,
                    "headers": {"type": "object", "properties": decision_headers},
                    "payload": _ref("decision.schema.json"),
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
