"""Fixtures written by hand: products without an SDK of their records."""

from collections.abc import Iterator
from typing import Any

import orjson

from tests.tools.fixtures_made.fixture import (
    BY_HAND,
    Fixture,
    assistant,
    judged,
    refused,
    skipped,
    user,
)

_WHEN = "2026-03-01T10:00:00Z"
_AT = 1772359200
_MODEL = "gpt-5-mini"

Records = Iterator[tuple[str, Any, list[dict[str, Any]]]]


def _helicone() -> Records:
    def text(value: Any) -> str:
        return orjson.dumps(value).decode()

    def row(request: Any, response: Any, **more: Any) -> dict[str, Any]:
        return {
            "request_id": "request-1",
            "request_created_at": "2026-03-01T09:59:58Z",
            "response_created_at": _WHEN,
            "request_body": request,
            "response_body": response,
            "response_status": 200,
            "request_user_id": "user-1",
            "request_path": "/v1/chat/completions",
            "request_properties": {"Helicone-Session-Id": "session-1", "App": "kitchen"},
            "provider": "OPENAI",
            **more,
        }

    fields = {
        "id": "request-1",
        "conversation_id": "session-1",
        "user_id": "user-1",
        "model": _MODEL,
        "occurred_at": _WHEN,
    }
    request = {"model": "gpt-5", "messages": [user("How do I proof yeast?")]}
    choice = {"index": 0, "finish_reason": "stop", "message": assistant("In warm water.")}
    response = {"id": "chatcmpl-1", "model": _MODEL, "choices": [choice]}
    expected = [judged("How do I proof yeast?", "In warm water.", **fields)]
    yield "exported_row", row(request, response), expected
    yield "bodies_as_texts", row(text(request), text(response)), expected

    webhook = {
        "request_id": "request-1",
        "user_id": "user-1",
        "request_body": text(request),
        "response_body": text(response),
        "model": "gpt-5",
        "provider": "OPENAI",
    }
    own = {"id": "request-1", "user_id": "user-1", "model": _MODEL}
    yield "webhook", webhook, [judged("How do I proof yeast?", "In warm water.", **own)]

    claude = "claude-sonnet-5"
    request = {"model": claude, "system": "You bake.", "messages": [user("Why rye?")]}
    blocks = [{"type": "thinking", "thinking": "Flavour."}, {"type": "text", "text": "Flavour."}]
    response = {"id": "msg_1", "type": "message", "model": claude, **assistant(blocks)}
    yield (
        "anthropic",
        row(request, response, provider="ANTHROPIC"),
        [judged("Why rye?", "Flavour.", **{**fields, "model": claude})],
    )

    request = {"contents": [{"role": "user", "parts": [{"text": "How hot?"}]}]}
    candidate = {"content": {"role": "model", "parts": [{"text": "230 °C."}]}}
    response = {"candidates": [candidate]}
    yield (
        "gemini",
        row(request, response, request_model="gemini-3-flash"),
        [judged("How hot?", "230 °C.", **{**fields, "model": "gemini-3-flash"})],
    )

    request = {"model": _MODEL, "input": "How long?"}
    parts = [{"type": "output_text", "text": "40 minutes."}]
    output = [{"type": "reasoning", "summary": []}, {"type": "message", **assistant(parts)}]
    yield (
        "responses_api",
        row(request, {"output": output}),
        [judged("How long?", "40 minutes.", **fields)],
    )

    image = {"type": "image_url", "image_url": {"url": "https://images.example/loaf.png"}}
    words = {"type": "text", "text": "Is it done?"}
    request = {"model": _MODEL, "messages": [user([words, image])]}
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    answer = {"choices": [{"message": assistant(None, tool_calls=[call])}]}
    yield (
        "image_and_tool_call",
        row(request, answer),
        [judged("Is it done?", **fields, flags=["not_all_text"])],
    )

    request = {"model": _MODEL, "messages": [user("Hello")]}
    error = {"error": {"message": "Too many requests"}}
    yield "error", row(request, error, response_status=429), [judged("Hello", **fields)]
    yield "request_omitted", row({}, response), [refused("Redacted", "was not logged")]
    chunks = 'data: {"choices": [{"delta": {"content": "In"}}]}\n\n'
    yield "events_as_text", row(request, chunks), [refused("NotAnEvent", "part of a stream")]
    yield (
        "empty_answer",
        row(request, {"choices": [{"message": assistant("")}]}),
        [judged("Hello", **fields)],
    )


def _open_webui() -> Records:
    def node(own_id: str, parent: str | None, message: dict[str, Any]) -> dict[str, Any]:
        return {"id": own_id, "parentId": parent, "childrenIds": [], "timestamp": _AT, **message}

    def chat(current: str | None, *nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
        messages = {one["id"]: one for one in nodes}
        return {
            "id": "chat-1",
            "user_id": "user-1",
            "title": "Mushrooms",
            "chat": {
                "models": ["llama"],
                "history": {"currentId": current, "messages": messages},
                "messages": [],
            },
            "created_at": _AT - 9,
            "updated_at": _AT,
            **more,
        }

    nodes = [
        node("a", None, user("Hello")),
        node("b", "a", assistant("Hi.")),
        node("c", "b", user("Is it edible?")),
        node("d", "c", assistant("Yes.")),
        node("e", "b", user("Is it common?")),
        node("f", "e", assistant("Quite.")),
    ]
    fields = {
        "conversation_id": "chat-1",
        "user_id": "user-1",
        "model": "llama",
        "occurred_at": _WHEN,
    }
    first = judged("Is it edible?", "Yes.", id="chat-1/d", **fields)
    second = judged("Is it common?", "Quite.", id="chat-1/f", **fields)
    yield "branch_that_is_shown", chat("d", *nodes), [first]
    yield "other_branch", chat("f", *nodes), [second]
    yield "array_of_chats", [chat("d", *nodes), chat("f", *nodes)], [first, second]
    yield (
        "answer_not_written_yet",
        chat("g", *nodes[:3], node("g", "c", assistant(""))),
        [judged("Is it edible?", id="chat-1/g", **fields)],
    )
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    words = {"type": "text", "text": "Which one is it?"}
    last = node("b", "a", assistant("A chanterelle."))
    yield (
        "image",
        chat("b", node("a", None, user([words, image])), last),
        [
            judged(
                "Which one is it?",
                "A chanterelle.",
                id="chat-1/b",
                flags=["not_all_text"],
                **fields,
            )
        ],
    )
    circle = [node("a", "b", user("Hello")), node("b", "a", assistant("Hi."))]
    yield (
        "parents_in_a_circle",
        chat("b", *circle),
        [judged("Hello", "Hi.", id="chat-1/b", **fields)],
    )
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    body = {
        "id": "message-1",
        "chat_id": "chat-1",
        "model": "llama",
        "user": {"id": "user-1", "name": "A. User"},
        "messages": [
            user("Is it rare?"),
            assistant("", tool_calls=[call]),
            {"role": "tool", "tool_call_id": "c1", "content": "no"},
            assistant("No."),
        ],
    }
    own = {name: value for name, value in fields.items() if name != "occurred_at"}
    yield "body_of_a_filter", body, [judged("Is it rare?", "No.", id="message-1", **own)]
    yield "deleted_branch", chat("z", *nodes), [refused("NotAnEvent", "finds no messages")]
    yield "another_export", {"folders": [], "prompts": []}, [skipped()]


_PRESETS = {"helicone": _helicone, "open-webui": _open_webui}


def fixtures() -> Iterator[Fixture]:
    for preset, records in _PRESETS.items():
        for name, record, expected in records():
            yield Fixture(preset, name, BY_HAND, record, expected)
