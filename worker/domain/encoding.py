"""The JSON of records that are published."""

import json
from dataclasses import asdict
from typing import Any

import orjson


def encode_json(value: Any) -> bytes:
    """A document or a data class as JSON; lone surrogates in its texts become question marks."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=asdict)
        return text.encode("utf-8", "replace")
