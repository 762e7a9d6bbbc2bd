"""The sample events in the shape of other programs' logs, for `demo --mapping`."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from worker.decoding.decoder import Decoded, EventDecoder
from worker.domain.events import Event
from worker.domain.records import record_of_line

_MODEL = "demo-assistant"
_AT = 1_780_000_000.0


def shaped(line: bytes, mapping: str) -> bytes:
    """A sample event as the program of this preset would log it; what is no event stays as it is.

    Raises:
        KeyError: there is no such shape; `SHAPES` has those that there are.
    """
    (found,) = EventDecoder().decode(record_of_line("samples", 0, line, 0.0)).exchanges
    return orjson.dumps(SHAPES[mapping](found.event)) if isinstance(found, Decoded) else line


def _messages(event: Event) -> list[Any]:
    """The conversation, without the response."""
    if event.messages is not None:
        return event.messages
    return [{"role": "user", "content": event.prompt}]


def _completion(event: Event) -> dict[str, Any] | None:
    """A response body of OpenAI's chat completions API."""
    if event.response is None:
        return None
    message = {"role": "assistant", "content": event.response}
    return {
        "id": f"chatcmpl-{event.id}",
        "object": "chat.completion",
        "created": int(_AT),
        "model": _MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }


def _openai_chat(event: Event) -> dict[str, Any]:
    return {
        "request": {"model": _MODEL, "messages": _messages(event), "user": event.user_id},
        "response": _completion(event),
    }


def _anthropic_messages(event: Event) -> dict[str, Any]:
    response = event.response and {
        "id": f"msg_{event.id}",
        "type": "message",
        "role": "assistant",
        "model": _MODEL,
        "content": [{"type": "text", "text": event.response}],
        "stop_reason": "end_turn",
    }
    request = {"model": _MODEL, "max_tokens": 1024, "messages": _messages(event)}
    return {"request": request, "response": response}


def _litellm(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "trace_id": event.conversation_id or event.id,
        "call_type": "acompletion",
        "status": "success",
        "model": _MODEL,
        "startTime": _AT,
        "endTime": _AT + 1.5,
        "end_user": event.user_id,
        "metadata": {"user_api_key_team_id": event.tenant},
        "messages": _messages(event),
        "response": _completion(event) or {},
    }


SHAPES: Mapping[str, Callable[[Event], dict[str, Any]]] = {
    "anthropic-messages": _anthropic_messages,
    "litellm": _litellm,
    "openai-chat": _openai_chat,
}
