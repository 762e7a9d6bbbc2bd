"""Messages in the bodies of chat APIs: what programs log of their requests and responses."""

from collections.abc import Iterable
from typing import Any

from worker.decoding.content import is_part

_REQUESTS = ("messages", "contents", "input")
# types of messages that LangChain writes in place of roles
_TYPES_OF_TURNS = frozenset({"human", "ai"})
# bodies without an answer: errors, and prompts that Gemini blocked
_NO_ANSWER = frozenset({"error", "promptFeedback", "prompt_feedback"})
_CONTENT = ("content", "parts", "text")
_STREAM_TYPES = frozenset(
    {
        "message_start",
        "message_delta",
        "message_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
    }
)
# the beginnings of server-sent events, which no text of an answer has
_SENT_EVENTS = ("data: {", "data:{", "event: message_start\n", "event: response.")
_STREAM_KEYS = frozenset({"contentBlockDelta", "messageStart", "delta"})


def messages_of(body: Any, role: str) -> list[Any] | None:
    """The messages of a request, a response, a list of messages or one message; null for null.

    Messages without a role get `role`. What is not recognised is kept, so that it is refused where
    messages are read: nothing of an exchange is left out unseen.
    """
    if body is None:
        return None
    if isinstance(body, list):
        return [_message(one, role) for one in body]
    if not isinstance(body, dict):
        return [_message(body, role)]
    if body.get("role") is not None:
        return [body]
    for name in _REQUESTS:
        if isinstance(held := body.get(name), str | list):
            return messages_of(held, role)
    return _answers_of(body, role)


def _answers_of(body: dict[str, Any], role: str) -> list[Any]:
    if isinstance(choices := body.get("choices"), list):
        return [_choice(one, role) for one in choices]
    if isinstance(candidates := body.get("candidates"), list):
        return [_candidate(one, role) for one in candidates]
    output = body.get("output")
    if isinstance(output, dict) and isinstance(output.get("message"), dict):
        return [_message(output["message"], role)]  # Bedrock
    if isinstance(output, str | list):
        return messages_of(output, role) or []
    if not body or (not _NO_ANSWER.isdisjoint(body) and not any(map(body.get, _CONTENT))):
        return []
    return [_message(body, role)]


def _message(item: Any, role: str) -> Any:
    if isinstance(item, str):
        return {"role": role, "content": item}
    if not isinstance(item, dict) or item.get("role") is not None:
        return item
    kind = item.get("type")
    if isinstance(kind, str) and kind != "message":
        if is_part(kind):
            return {"role": role, "content": [item]}
        if kind not in _TYPES_OF_TURNS:
            return item  # an item without a role, as of OpenAI Responses: a tool call, thinking
        role = kind
    return {**item, "role": role}


def _choice(choice: Any, role: str) -> Any:
    if not isinstance(choice, dict):
        return choice
    if "message" in choice:
        return _message(choice["message"], role)
    return _message(choice, role)


def _candidate(candidate: Any, role: str) -> Any:
    if not isinstance(candidate, dict):
        return candidate
    # without content where Gemini stopped before the first word
    return _message(candidate.get("content"), role)


def parse_body(value: Any, parsed: Any) -> Any:
    """What a string of JSON holds if it has messages; else the value, which is then text."""
    items = parsed if isinstance(parsed, list) else [parsed]
    return parsed if items and all(map(_has_messages, items)) else value


def _has_messages(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    has_content = any(name in item for name in _CONTENT) or "tool_calls" in item
    return ("role" in item and has_content) or any(
        isinstance(item.get(name), list) for name in (*_REQUESTS, "choices", "candidates", "output")
    )


def is_stream(value: Any) -> bool:
    """Whether a value is a part of a streamed response, a list of them, or server-sent events."""
    if isinstance(value, str):
        return value.startswith(_SENT_EVENTS)
    if isinstance(value, list):
        # Gemini's parts look like complete responses
        return any(map(_is_chunk, value[:2])) or (len(value) > 1 and _all_candidates(value[:2]))
    return _is_chunk(value)


def _is_chunk(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    kind = value.get("type")
    if isinstance(kind, str) and (kind in _STREAM_TYPES or kind.startswith("response.")):
        return True
    if value.get("object") == "chat.completion.chunk" or not _STREAM_KEYS.isdisjoint(value):
        return True
    choices = value.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return isinstance(first, dict) and "delta" in first


def _all_candidates(values: Iterable[Any]) -> bool:
    return all(isinstance(one, dict) and "candidates" in one for one in values)


def merge(items: Any, key: Any) -> list[Any]:
    """Objects with the same value of a key as one, later fields over earlier ones."""
    found: dict[str, Any] = {}
    for number, item in enumerate(items if isinstance(items, list) else []):
        name = item.get(key) if isinstance(item, dict) and isinstance(key, str) else None
        if isinstance(name, str):
            given = {field: value for field, value in item.items() if value is not None}
            found.setdefault(f"={name}", {}).update(given)
        else:
            found[str(number)] = item
    return list(found.values())
