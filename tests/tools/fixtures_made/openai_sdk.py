"""Fixtures made by OpenAI's SDK: what it sends, and what it reads from an answer."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
from openai.types.chat import ChatCompletionChunk

from tests.tools.fixtures_made.fixture import (
    BY_HAND,
    Fixture,
    Server,
    judged,
    made_with,
    refused,
    user,
)

_CHAT, _RESPONSES = "openai-chat", "openai-responses"
_MODEL = "gpt-5-mini"
_USAGE = {"prompt_tokens": 21, "completion_tokens": 9, "total_tokens": 30}
_IMAGE = {"type": "image_url", "image_url": {"url": "https://images.example/leaf.png"}}
_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look_up", "arguments": '{"plant": "fern"}'},
}
_FIELDS = {"model": _MODEL, "occurred_at": "2026-03-01T10:00:00Z"}
_AT = 1772359200


def _choice(index: int = 0, reason: str = "stop", **message: Any) -> dict[str, Any]:
    told = {"role": "assistant", "content": None, "refusal": None, **message}
    return {"index": index, "finish_reason": reason, "logprobs": None, "message": told}


def _chat(own_id: str, messages: list[Any], *choices: dict[str, Any], **more: Any) -> Any:
    server = Server()
    server.answer = {
        "id": own_id,
        "object": "chat.completion",
        "created": _AT,
        "model": _MODEL,
        "choices": list(choices),
        "usage": _USAGE,
    }
    client = openai.OpenAI(api_key="none", http_client=server.client(httpx))
    answer = client.chat.completions.create(model=_MODEL, messages=messages, **more)
    return {"request": server.request, "response": answer.model_dump(mode="json")}


def _chats() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    messages = [
        {"role": "system", "content": "You are a gardener."},
        user("Hello"),
        {"role": "assistant", "content": "Good morning."},
        user("How often does a fern need water?"),
    ]
    record = _chat("chatcmpl-1", messages, _choice(content="Twice a week."), user="user-1")
    record["conversation_id"] = "conversation-1"
    expected = judged(
        "How often does a fern need water?",
        "Twice a week.",
        id="chatcmpl-1",
        conversation_id="conversation-1",
        user_id="user-1",
        **_FIELDS,
    )
    yield "request_and_response", record, expected

    messages = [
        user("What does a fern need?"),
        {"role": "assistant", "content": None, "tool_calls": [_CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Shade and water."},
    ]
    record = _chat("chatcmpl-2", messages, _choice(content="It needs shade."))
    expected = judged("What does a fern need?", "It needs shade.", id="chatcmpl-2", **_FIELDS)
    yield "tool_calls", record, expected

    record = _chat(
        "chatcmpl-3", [user("Look up ferns")], _choice(reason="tool_calls", tool_calls=[_CALL])
    )
    yield "only_a_tool_call", record, judged("Look up ferns", id="chatcmpl-3", **_FIELDS)

    content = [{"type": "text", "text": "Which plant is this?"}, _IMAGE]
    record = _chat("chatcmpl-4", [user(content)], _choice(content="A fern."))
    expected = judged(
        "Which plant is this?", "A fern.", id="chatcmpl-4", flags=["not_all_text"], **_FIELDS
    )
    yield "image", record, expected

    record = _chat("chatcmpl-5", [user("Which plant is poisonous?")], _choice(refusal="I can't."))
    expected = judged("Which plant is poisonous?", "I can't.", id="chatcmpl-5", **_FIELDS)
    yield "refusal", record, expected

    record = _chat("chatcmpl-6", [user("Say nothing")], _choice(reason="length", content=""))
    yield "empty_answer", record, judged("Say nothing", id="chatcmpl-6", **_FIELDS)

    choices = _choice(content="Ferny"), _choice(1, content="Leafy")
    record = _chat("chatcmpl-7", [user("Name my fern")], *choices, n=2)
    yield (
        "two_choices",
        record,
        judged("Name my fern", "Ferny\n\nLeafy", id="chatcmpl-7", **_FIELDS),
    )

    record = _chat("chatcmpl-8", [user("Is moss a plant?")], _choice(content="Yes."))
    body = record["response"]
    line = {
        "id": "batch_req_1",
        "custom_id": "line-1",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": record["request"],
        "response": {"status_code": 200, "request_id": "req_1", "body": body},
        "error": None,
    }
    yield "batch_line", line, judged("Is moss a plant?", "Yes.", id="chatcmpl-8", **_FIELDS)
    alone = {name: value for name, value in line.items() if name not in {"body", "method", "url"}}
    yield "batch_line_without_request", alone, refused("NotAnEvent", "has no request: merge it")

    stored = {"messages": [user("Is moss green?"), {"role": "assistant", "content": "It is."}]}
    yield "stored_completion", stored, judged("Is moss green?", "It is.")

    chunk = {
        "id": "chatcmpl-9",
        "object": "chat.completion.chunk",
        "created": _AT,
        "model": _MODEL,
        "choices": [{"index": 0, "delta": {"content": "Fe"}, "finish_reason": None}],
    }
    dumped = ChatCompletionChunk.model_validate(chunk).model_dump(mode="json")
    streamed = {"request": {"messages": [user("Hello")]}, "response": dumped}
    yield "chunk", dumped, refused("NotAnEvent", "part of a stream")
    yield "chunk_as_response", streamed, refused("NotAnEvent", "part of a stream")
    yield "list_of_chunks", {**streamed, "response": [dumped]}, refused("NotAnEvent", "of a stream")

    failed = {
        "request": {"model": _MODEL, "messages": [user("Hello")]},
        "response": {"error": {"message": "Too many requests", "type": "rate_limit_error"}},
    }
    yield "error", failed, judged("Hello", model=_MODEL)
    yield "something_else", {"kind": "heartbeat"}, refused("NotAnEvent", "finds no messages")
    unknown = {"request": {"messages": [user("Hello")]}, "response": {"reply": "Hi"}}
    yield "unknown_response", unknown, refused("NotAnEvent", "messages.1 has no content")


def _response(own_id: str, given: Any, *output: dict[str, Any], **more: Any) -> dict[str, Any]:
    server = Server()
    server.answer = {
        "id": own_id,
        "object": "response",
        "created_at": _AT,
        "model": _MODEL,
        "status": "completed",
        "error": None,
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    client = openai.OpenAI(api_key="none", http_client=server.client(httpx))
    answer = client.responses.create(model=_MODEL, input=given, **more)
    return {"request": server.request, "response": answer.model_dump(mode="json")}


def _said(*content: dict[str, Any]) -> dict[str, Any]:
    told = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    return {**told, "content": list(content)}


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def _responses() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    record = _response("resp_1", "How tall is an oak?", _said(_text("Up to 40 m.")), user="user-1")
    record["response"]["conversation"] = {"id": "conv_1"}
    expected = judged(
        "How tall is an oak?",
        "Up to 40 m.",
        id="resp_1",
        conversation_id="conv_1",
        user_id="user-1",
        **_FIELDS,
    )
    yield "text_input", record, expected

    call = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": "look_up",
        "arguments": "{}",
        "status": "completed",
    }
    summary = [{"type": "summary_text", "text": "The user asks about oaks."}]
    thought = {"type": "reasoning", "id": "rs_1", "summary": summary}
    given = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "How old is the oak?"}]},
        call,
        {"type": "function_call_output", "call_id": "call_1", "output": "300 years"},
    ]
    record = _response("resp_2", given, thought, _said(_text("300 years.")))
    yield (
        "tool_calls_and_reasoning",
        record,
        judged("How old is the oak?", "300 years.", id="resp_2", **_FIELDS),
    )

    record = _response("resp_3", "Look up the oak", call)
    yield "only_a_tool_call", record, judged("Look up the oak", id="resp_3", **_FIELDS)

    image = {"type": "input_image", "image_url": "https://images.example/oak.png", "detail": "low"}
    words = {"type": "input_text", "text": "Is this an oak?"}
    record = _response("resp_4", [user([words, image])], _said(_text("It is.")))
    yield (
        "image",
        record,
        judged("Is this an oak?", "It is.", id="resp_4", flags=["not_all_text"], **_FIELDS),
    )

    refusal = {"type": "refusal", "refusal": "I can't help with that."}
    record = _response("resp_5", "Who planted it?", _said(refusal))
    yield (
        "refusal",
        record,
        judged("Who planted it?", "I can't help with that.", id="resp_5", **_FIELDS),
    )

    record = _response("resp_6", "Say nothing")
    yield "empty_answer", record, judged("Say nothing", id="resp_6", **_FIELDS)

    event = {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "Up"}
    yield "event", event, refused("NotAnEvent", "event of a stream")

    flat = {"input": "Is it tall?", "output": [_said(_text("Yes."))], "id": "resp_7"}
    yield "in_one_object", flat, judged("Is it tall?", "Yes.", id="resp_7")

    result = [{"type": "function_call_output", "call_id": "call_1", "output": "300 years"}]
    record = _response("resp_8", result, _said(_text("Old.")), previous_response_id="resp_3")
    yield "only_results_of_tools", record, refused("NothingToJudge", "no message of a user")


def fixtures() -> Iterator[Fixture]:
    sdk = made_with("openai")
    plain = {"stored_completion", "something_else", "error", "event", "unknown_response"}
    for preset, found in ((_CHAT, _chats()), (_RESPONSES, _responses())):
        for name, record, expected in found:
            yield Fixture(preset, name, BY_HAND if name in plain else sdk, record, [expected])
