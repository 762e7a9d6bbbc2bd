"""Fixtures made by Google's SDK: what it sends to Gemini, and what it reads from an answer."""

from collections.abc import Iterator
from typing import Any

import httpx
import orjson
from google import genai
from google.genai import types

from tests.tools.fixtures_made.fixture import Fixture, Server, judged, made_with, refused

_MODEL = "gemini-3-flash"


def _log(own_id: str, contents: Any, *candidates: dict[str, Any], **answer: Any) -> dict[str, Any]:
    server = Server()
    server.answer = {"responseId": own_id, "modelVersion": _MODEL, **answer}
    if candidates:
        server.answer["candidates"] = list(candidates)
    client = genai.Client(
        api_key="none", http_options=types.HttpOptions(httpx_client=server.client(httpx))
    )
    config = types.GenerateContentConfig(system_instruction="You know the stars.")
    found = client.models.generate_content(model=_MODEL, contents=contents, config=config)
    written = found.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude={"sdk_http_response"}
    )
    return {"request": server.request, "response": written}


def _said(*parts: dict[str, Any], reason: str = "STOP") -> dict[str, Any]:
    return {"content": {"role": "model", "parts": list(parts)}, "finishReason": reason, "index": 0}


def _records() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    def content(role: str, *parts: types.Part) -> types.Content:
        return types.Content(role=role, parts=list(parts))

    text = types.Part.from_text
    history = [
        content("user", text(text="Hello")),
        content("model", text(text="Good evening.")),
        content("user", text(text="Is Vega bright?")),
    ]
    record = _log("r1", history, _said({"text": "Very."}))
    record |= {"timestamp": "2026-03-01T10:00:00Z", "session_id": "session-1", "user_id": "user-1"}
    yield (
        "request_and_response",
        record,
        judged(
            "Is Vega bright?",
            "Very.",
            id="r1",
            conversation_id="session-1",
            user_id="user-1",
            model=_MODEL,
            occurred_at="2026-03-01T10:00:00Z",
        ),
    )

    calls = [
        content("user", text(text="How far is Vega?")),
        content("model", types.Part.from_function_call(name="look_up", args={"star": "Vega"})),
        content("user", types.Part.from_function_response(name="look_up", response={"ly": 25})),
    ]
    thought = {"text": "The user wants a distance.", "thought": True}
    record = _log("r2", calls, _said(thought, {"text": "25 light years."}))
    yield (
        "tool_calls_and_thoughts",
        record,
        judged("How far is Vega?", "25 light years.", id="r2", model=_MODEL),
    )

    call = {"functionCall": {"name": "look_up", "args": {"star": "Vega"}}}
    yield (
        "only_a_tool_call",
        _log("r3", "Look up Vega", _said(call)),
        judged("Look up Vega", id="r3", model=_MODEL),
    )

    image = types.Part.from_bytes(data=b"png", mime_type="image/png")
    record = _log(
        "r4", [content("user", text(text="Which star?"), image)], _said({"text": "Vega."})
    )
    yield (
        "image",
        record,
        judged("Which star?", "Vega.", id="r4", model=_MODEL, flags=["not_all_text"]),
    )

    record = _log("r5", "Say something forbidden", promptFeedback={"blockReason": "SAFETY"})
    yield "blocked_prompt", record, judged("Say something forbidden", id="r5", model=_MODEL)

    stopped = {"finishReason": "SAFETY", "index": 0}
    yield (
        "stopped_before_the_first_word",
        _log("r6", "Say nothing", stopped),
        judged("Say nothing", id="r6", model=_MODEL),
    )

    record = _log("r7", "Name a star", _said({"text": "Vega"}), _said({"text": "Deneb"}))
    yield "two_candidates", record, judged("Name a star", "Vega\n\nDeneb", id="r7", model=_MODEL)

    record = _log("r8", "Is it blue?", _said({"text": "Rather white."}))
    logged = {
        "endpoint": "endpoint-1",
        "deployed_model_id": "7",
        "logging_time": "2026-03-01T10:00:00Z",
        "request_id": "17",
        "model": _MODEL,
        "full_request": record["request"],
        "full_response": record["response"],
    }
    expected = judged(
        "Is it blue?", "Rather white.", id="r8", model=_MODEL, occurred_at="2026-03-01T10:00:00Z"
    )
    yield "vertex_log", logged, expected
    packed = {
        **logged,
        "full_request": orjson.dumps(record["request"]).decode(),
        "full_response": orjson.dumps(record["response"]).decode(),
    }
    yield "vertex_log_with_texts", packed, expected

    parts = [record["response"], record["response"]]
    yield (
        "parts_of_a_stream",
        {**record, "response": parts},
        refused("NotAnEvent", "parts of a stream"),
    )


def fixtures() -> Iterator[Fixture]:
    for name, record, expected in _records():
        yield Fixture("gemini", name, made_with("google-genai"), record, [expected])
