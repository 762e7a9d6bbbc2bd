"""The text of one message, in any of the formats that chat APIs use.

Text is read. Thinking, tool calls and their results are skipped. Parts that are not text are left
out and reported. An unknown format is refused, so that no message is read in part.
"""

from typing import Any, Literal

from worker.domain.errors import NotAnEvent

BETWEEN_TURNS = "\n\n"
BETWEEN_PARTS = "\n"

Speaker = Literal["user", "assistant"]
# the text, None if there is none; and whether there are parts that are not text
ReadText = tuple[str | None, bool]
NOTHING: ReadText = (None, False)

# types of parts that are skipped: thinking, tool calls and their results
_SKIPPED_TYPES = frozenset(
    {
        "thinking",
        "redacted_thinking",
        "reasoning",
        "redacted_reasoning",
        "redacted-reasoning",
        "reasoning_text",
        "reasoning_summary",
        "summary_text",
        "compaction",
        "step-start",
        "tool_use",
        "tool_result",
        "server_tool_use",
        "mcp_tool_use",
        "mcp_tool_result",
        "web_search_tool_result",
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
        "tool_reference",
        "tool_call",
        "tool_call_response",
        "server_tool_call",
        "server_tool_call_response",
        "custom_tool_call",
        "custom_tool_call_output",
        "tool-call",
        "tool-result",
        "tool-invocation",
        "function_call",
        "function_call_output",
        "function_response",
        "web_search_call",
        "file_search_call",
        "computer_call",
    }
)
# types of parts that are text
_TEXT_TYPES = frozenset({"text", "input_text", "output_text"})
# types of parts that are not text, even if they have a text too
_MEDIA_TYPES = frozenset(
    {
        "image",
        "image_url",
        "input_image",
        "output_image",
        "image_file",
        "audio",
        "audio_url",
        "input_audio",
        "output_audio",
        "video",
        "video_url",
        "input_video",
        "file",
        "input_file",
        "document",
        "media",
        "blob",
        "uri",
    }
)
# parts of Gemini and Bedrock have no type: a key shows what they are
_SKIPPED_KEYS = frozenset(
    {
        "functionCall",
        "function_call",
        "functionResponse",
        "function_response",
        "executableCode",
        "executable_code",
        "codeExecutionResult",
        "code_execution_result",
        "toolUse",
        "toolResult",
        "reasoningContent",
        "cachePoint",
    }
)
_MEDIA_KEYS = frozenset(
    {
        "inlineData",
        "inline_data",
        "fileData",
        "file_data",
        "image",
        "image_url",
        "video",
        "audio",
        "input_audio",
        "document",
    }
)
# keys of an assistant's message that has no content
_INSTEAD_OF_CONTENT = frozenset(
    {
        "tool_calls",
        "function_call",
        "refusal",
        "audio",
        "tool_call_id",
        "toolCalls",
        "reasoning",
        "reasoning_content",
        "thinking",
    }
)


def kind_of(value: object) -> str:
    """The name of the JSON type of a value, with its article."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def is_part(kind: str) -> bool:
    """Whether a type is that of a part of a message: text, or what is not text."""
    return kind in _TEXT_TYPES or kind in _MEDIA_TYPES or kind == "refusal"


def is_blank(text: str | None) -> bool:
    """Whether a text is missing, empty or white space."""
    return not text or text.isspace()


def read_message(message: dict[str, Any], where: str, at: int | None, speaker: Speaker) -> ReadText:
    """The text of a message.

    `where` and `at` are its path in the event, as in `messages.3`.

    Raises:
        NotAnEvent: its content has an unknown format.
    """
    content = message.get("content")
    if type(content) is str and content:
        text: str | None = content
        unread = False
    else:
        content = _content_of(message)
        if content is None:
            if not _may_lack_content(message):
                place = where if at is None else f"{where}.{at}"
                raise NotAnEvent(f"Not an event: {place} has no content.")
            text, unread = NOTHING
        else:
            place = where if at is None else f"{where}.{at}"
            text, unread = read_content(content, f"{place}.content")
    if speaker == "assistant" and ("refusal" in message or "audio" in message):
        return _with_other_fields(message, (text, unread))
    return text, unread


def _content_of(message: dict[str, Any]) -> object:
    """The content; if it is empty, the first other field that can contain it."""
    found = None
    for name in ("content", "parts", "text"):
        value = message.get(name)
        if value or (found is None and value is not None):
            found = value
        if value:
            break
    return found


def _may_lack_content(message: dict[str, Any]) -> bool:
    return (
        "content" in message
        or "parts" in message
        or message.keys() <= {"role"}
        or not _INSTEAD_OF_CONTENT.isdisjoint(message)
    )


def _with_other_fields(message: dict[str, Any], content: ReadText) -> ReadText:
    """The content of an assistant's message and its refusal or the transcript of its speech."""
    text, unread = content
    refusal = message.get("refusal")
    if isinstance(refusal, str) and not is_blank(refusal):
        text = refusal if is_blank(text) else f"{text}{BETWEEN_TURNS}{refusal}"
    audio = message.get("audio")
    if isinstance(audio, dict):
        unread = True
        transcript = audio.get("transcript")
        if is_blank(text) and isinstance(transcript, str):
            text = transcript
    return text, unread


def read_content(content: object, where: str) -> ReadText:
    """The text of content: a string, a part, or a list of them.

    Raises:
        NotAnEvent: it has another format.
    """
    if isinstance(content, str):
        return content, False
    if isinstance(content, dict):
        parts = content.get("parts")
        if not isinstance(parts, list):
            return _read_part(content, where)
        content, where = parts, f"{where}.parts"
    if not isinstance(content, list):
        raise NotAnEvent(f"Not an event: {where} is {kind_of(content)} instead of text.")
    texts: list[str] = []
    unread = False
    for at, part in enumerate(content):
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            text, is_media = _read_part(part, where, at)
            unread |= is_media
            if text is not None:
                texts.append(text)
        elif part is not None:
            raise NotAnEvent(f"Not an event: {where}.{at} is {kind_of(part)} instead of a part.")
    return (BETWEEN_PARTS.join(texts) if texts else None), unread


def _read_part(part: dict[str, Any], where: str, at: int | None = None) -> ReadText:
    kind = part.get("type")
    if not isinstance(kind, str):
        kind = ""
    if part.get("thought") is True or kind in _SKIPPED_TYPES:
        return NOTHING
    text = part.get("refusal" if kind == "refusal" else "text")
    if isinstance(text, dict) and "value" in text:
        text = text["value"]  # OpenAI Assistants
    if isinstance(text, str):
        return text, kind in _MEDIA_TYPES
    place = where if at is None else f"{where}.{at}"
    if text is not None:
        raise NotAnEvent(f"Not an event: {place}.text is {kind_of(text)} instead of text.")
    return _read_part_without_text(part, kind, place)


def _read_part_without_text(part: dict[str, Any], kind: str, place: str) -> ReadText:
    if kind in _TEXT_TYPES:
        content = part.get("content")
        if isinstance(content, str):
            return content, False  # OpenTelemetry
        if "text" not in part:
            raise NotAnEvent(f"Not an event: {place} is a text part without text.")
        return NOTHING
    if kind == "message":
        # OpenAI Responses; only one level of nesting is allowed
        if _nests(part):
            raise NotAnEvent(f"Not an event: {place} has messages within messages.")
        return read_message(part, place, None, "assistant")
    guarded = part.get("guardContent")
    if isinstance(guarded, dict):
        held = guarded.get("text")  # Bedrock; an image otherwise
        text = held.get("text") if isinstance(held, dict) else None
        return (text, False) if isinstance(text, str) else (None, True)
    if kind and kind not in _MEDIA_TYPES and isinstance(part.get("content"), str | list | dict):
        raise NotAnEvent(f"Not an event: {place} has content in an unknown format.")
    if kind or not _MEDIA_KEYS.isdisjoint(part):
        return None, True
    if not part or "text" in part or not _SKIPPED_KEYS.isdisjoint(part):
        return NOTHING
    raise NotAnEvent(f"Not an event: {place} has neither a type nor a text.")


def _nests(message: dict[str, Any]) -> bool:
    """Whether the parts of a message are messages."""
    for name in ("content", "parts", "text"):
        parts = message.get(name)
        for part in parts if isinstance(parts, list) else [parts]:
            if isinstance(part, dict) and part.get("type") == "message":
                return True
    return False
