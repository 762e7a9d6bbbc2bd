"""Fixtures made by Anthropic's SDK: what it sends, and what it reads from an answer."""

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
from anthropic.types import RawContentBlockDeltaEvent

from tests.tools.fixtures_made.fixture import (
    BY_HAND,
    Fixture,
    Server,
    judged,
    made_with,
    refused,
    user,
)

_MODEL = "claude-sonnet-5"
_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
_CALL = {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"river": "Elbe"}}


def _log(
    own_id: str,
    messages: list[Any],
    *content: dict[str, Any],
    reason: str = "end_turn",
    **more: Any,
) -> dict[str, Any]:
    server = Server()
    server.answer = {
        "id": own_id,
        "type": "message",
        "role": "assistant",
        "model": _MODEL,
        "content": list(content),
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": 7},
    }
    client = anthropic.Anthropic(api_key="none", http_client=server.client(httpx2))
    answer = client.messages.create(model=_MODEL, max_tokens=100, messages=messages, **more)
    return {"request": server.request, "response": answer.model_dump(mode="json")}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _records() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    messages = [user("Hello"), {"role": "assistant", "content": "Hi."}, user("Where is the Elbe?")]
    record = _log(
        "msg_1",
        messages,
        _text("In Germany and Czechia."),
        system="You know rivers.",
        metadata={"user_id": "user-1"},
    )
    record |= {"timestamp": "2026-03-01T10:00:00Z", "session_id": "session-1"}
    yield (
        "request_and_response",
        record,
        judged(
            "Where is the Elbe?",
            "In Germany and Czechia.",
            id="msg_1",
            conversation_id="session-1",
            user_id="user-1",
            occurred_at="2026-03-01T10:00:00Z",
            model=_MODEL,
        ),
    )

    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "1094 km"}
    thought = {"type": "thinking", "thinking": "They ask for a length.", "signature": "c2ln"}
    messages = [
        user("How long is the Elbe?"),
        {"role": "assistant", "content": [thought, _text("I look it up."), _CALL]},
        user([result]),
    ]
    record = _log("msg_2", messages, thought, _text("1094 km."))
    yield (
        "tool_calls_and_thinking",
        record,
        judged("How long is the Elbe?", "I look it up.\n\n1094 km.", id="msg_2", model=_MODEL),
    )

    record = _log("msg_3", [user("Look up the Elbe")], _CALL, reason="tool_use")
    yield "only_a_tool_call", record, judged("Look up the Elbe", id="msg_3", model=_MODEL)

    record = _log("msg_4", [user([_IMAGE, _text("Which river is it?")])], _text("The Elbe."))
    yield (
        "image",
        record,
        judged("Which river is it?", "The Elbe.", id="msg_4", model=_MODEL, flags=["not_all_text"]),
    )

    record = _log("msg_5", [user("Where is the dam weak?")], reason="refusal")
    yield "refusal_without_text", record, judged("Where is the dam weak?", id="msg_5", model=_MODEL)

    record = _log("msg_6", [user("Say nothing")], _text(""))
    yield "empty_answer", record, judged("Say nothing", id="msg_6", model=_MODEL)

    redacted = {"type": "redacted_thinking", "data": "c2VjcmV0"}
    record = _log("msg_7", [user("Is it wide?")], redacted, _text("Yes."))
    yield "redacted_thinking", record, judged("Is it wide?", "Yes.", id="msg_7", model=_MODEL)

    delta = {"type": "text_delta", "text": "In Ger"}
    event = RawContentBlockDeltaEvent.model_validate(
        {"type": "content_block_delta", "index": 0, "delta": delta}
    ).model_dump(mode="json")
    yield "event", event, refused("NotAnEvent", "event of a stream")
    request = {"model": _MODEL, "messages": [user("Hello")]}
    sse = 'event: message_start\ndata: {"type": "message_start"}\n\n'
    yield (
        "events_as_text",
        {"request": request, "response": sse},
        refused("NotAnEvent", "event of a stream"),
    )

    record = _log("msg_8", [user("Is it deep?")], _text("In places."))
    line = {
        "custom_id": "line-1",
        "params": record["request"],
        "result": {"type": "succeeded", "message": record["response"]},
    }
    yield "batch_result", line, judged("Is it deep?", "In places.", id="msg_8", model=_MODEL)
    alone = {"custom_id": "line-1", "result": line["result"]}
    yield "batch_result_without_request", alone, refused("NotAnEvent", "has no request: merge it")

    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    failed = {"id": "log-1", "request": request, "response": error}
    yield "error", failed, judged("Hello", id="log-1", model=_MODEL)


def fixtures() -> Iterator[Fixture]:
    sdk = made_with("anthropic")
    plain = {"events_as_text", "error"}
    for name, record, expected in _records():
        made = BY_HAND if name in plain else sdk
        yield Fixture("anthropic-messages", name, made, record, [expected])
