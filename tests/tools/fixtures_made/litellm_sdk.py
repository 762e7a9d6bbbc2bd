"""Fixtures made by LiteLLM: the payload that a callback is given, of answers that it invents."""

import asyncio
import copy
import os
from collections.abc import Iterator
from typing import Any

# without it, litellm fetches a table of prices
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from litellm.integrations.custom_logger import CustomLogger
from litellm.types.utils import ModelResponse

from tests.tools.fixtures_made.fixture import Fixture, judged, made_with, refused, skipped, user

_MODEL = "gpt-5-mini"
_AT = 1772359200.5
_ID = "chatcmpl-1"
_FIELDS = {
    "id": _ID,
    "model": _MODEL,
    "occurred_at": "2026-03-01T10:00:00.500000Z",
    "conversation_id": "trace-1",
}
_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look_up", "arguments": '{"lake": "Constance"}'},
}


class _Callback(CustomLogger):
    def __init__(self) -> None:
        super().__init__()
        self.payloads: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def async_log_success_event(self, kwargs: dict[str, Any], **_: Any) -> None:
        self.payloads.put_nowait(kwargs["standard_logging_object"])

    async_log_failure_event = async_log_success_event


# the library's logging stays with the first loop and the first callback
_LOOP = asyncio.new_event_loop()
_CALLBACK = _Callback()
litellm.callbacks = [_CALLBACK]


def _completion(messages: list[Any], answer: Any, **more: Any) -> dict[str, Any]:
    """The payload of a completion, with the same ids and times in each run."""

    async def complete() -> dict[str, Any]:
        try:
            found = await litellm.acompletion(
                model=f"openai/{_MODEL}", messages=messages, mock_response=answer, **more
            )
            if more.get("stream"):
                async for _ in found:
                    pass
        except litellm.InternalServerError:
            pass
        return await asyncio.wait_for(_CALLBACK.payloads.get(), 20)

    payload = copy.deepcopy(_LOOP.run_until_complete(complete()))
    times = {"startTime": _AT - 0.5, "endTime": _AT, "completionStartTime": _AT - 0.25}
    payload |= {"id": _ID, "litellm_call_id": "1", "response_time": 0.5, **times}
    payload["trace_id"] = "trace-1"
    payload["model_map_information"]["model_map_value"] = None
    if payload["error_information"]:
        payload["error_information"]["traceback"] = ""
    if payload["response"]:
        payload["response"] |= {"id": _ID, "created": int(_AT)}
    return payload


def _message(**message: Any) -> ModelResponse:
    told = {"role": "assistant", "content": None, **message}
    choice = {"index": 0, "finish_reason": "stop", "message": told}
    return ModelResponse(model=_MODEL, choices=[choice])


def _records() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    history = [
        {"role": "system", "content": "You know lakes."},
        user("Hello"),
        {"role": "assistant", "content": "Hi."},
        user("How deep is Lake Constance?"),
    ]
    whose = {
        "user_api_key_team_id": "team-1",
        "user_api_key_user_id": "owner-1",
        "user_api_key_end_user_id": "user-1",
    }
    record = _completion(history, "251 m.", metadata=whose)
    record["session_id"] = "session-1"
    yield (
        "completion",
        record,
        judged(
            "How deep is Lake Constance?",
            "251 m.",
            **{**_FIELDS, "conversation_id": "session-1"},
            user_id="user-1",
            tenant="team-1",
        ),
    )

    messages = [
        user("How wide is it?"),
        {"role": "assistant", "content": None, "tool_calls": [_CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "14 km"},
    ]
    record = _completion(messages, "14 km.", user="user-2")
    yield "tool_calls", record, judged("How wide is it?", "14 km.", **_FIELDS, user_id="user-2")

    record = _completion([user("Look up the lake")], _message(tool_calls=[_CALL]))
    yield "only_a_tool_call", record, judged("Look up the lake", **_FIELDS)

    thought = _message(content="In summer.", reasoning_content="They want to swim.")
    record = _completion([user("When is it warm?")], thought)
    yield "reasoning", record, judged("When is it warm?", "In summer.", **_FIELDS)

    image = {"type": "image_url", "image_url": {"url": "https://images.example/lake.png"}}
    parts = [{"type": "text", "text": "Which lake is it?"}, image]
    record = _completion([user(parts)], "Lake Constance.")
    yield (
        "image",
        record,
        judged("Which lake is it?", "Lake Constance.", **_FIELDS, flags=["not_all_text"]),
    )

    record = _completion([user("Is it clean?")], "Mostly, yes.", stream=True)
    yield "streamed", record, judged("Is it clean?", "Mostly, yes.", **_FIELDS)

    chunk = {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": "M"}}],
    }
    yield "chunk", {**record, "response": chunk}, refused("NotAnEvent", "part of a stream")

    record = _completion([user("Say nothing")], _message(content=""))
    yield "empty_answer", record, judged("Say nothing", **_FIELDS)

    record = _completion([user("Is it cold?")], RuntimeError("overloaded"))
    yield "failure", record, judged("Is it cold?", **_FIELDS)

    litellm.turn_off_message_logging = True
    try:
        record = _completion([user("A secret")], "Another secret")
    finally:
        litellm.turn_off_message_logging = False
    yield "message_logging_off", record, refused("Redacted", "was not logged (mapping litellm)")
    text = "redacted by litellm. 'litellm.turn_off_message_logging=True'"
    older = {**record, "messages": [user(text)], "response": {"text": text}}
    yield "message_logging_off_in_older_versions", older, refused("Redacted", "was not logged")

    record = _completion([user("Is it round?")], "No.")
    output = {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed"}
    body = {
        "id": "resp_1",
        "object": "response",
        "created_at": int(_AT),
        "model": _MODEL,
        "output": [{**output, "content": [{"type": "output_text", "text": "No."}]}],
    }
    responses = {**record, "call_type": "aresponses", "messages": "Is it round?", "response": body}
    yield "responses_api", responses, judged("Is it round?", "No.", **_FIELDS)

    embedding = {**record, "call_type": "aembedding", "response": {"data": [], "object": "list"}}
    yield "embedding", embedding, skipped()


def fixtures() -> Iterator[Fixture]:
    sdk = made_with("litellm")
    edited = {"chunk", "message_logging_off_in_older_versions", "responses_api", "embedding"}
    for name, record, expected in _records():
        made = f"{sdk}, then edited by hand" if name in edited else sdk
        yield Fixture("litellm", name, made, record, [expected])
