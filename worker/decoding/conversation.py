"""The part of a conversation that is judged: the last request and the answer to it.

The request is everything the user wrote since the previous turn of the assistant that has text,
the answer is everything the assistant wrote after that. Tool calls, tool results, thinking and
parts that are not text belong to neither. Only the turns that are judged must be readable: an
older turn never makes an event unusable.

The context of an exchange is earlier exchanges that have text on both sides, read in the same way.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from worker.decoding.content import (
    BETWEEN_PARTS,
    BETWEEN_TURNS,
    ReadText,
    Speaker,
    is_blank,
    kind_of,
    read_content,
    read_message,
)
from worker.decoding.context import Pair, in_context, pair_of, with_contexts
from worker.domain.errors import NotAnEvent
from worker.domain.events import Exchange, NoRequest

# the flag of a verdict on an exchange with parts that are not text
NOT_ALL_TEXT = "not_all_text"
SUGGEST = "guardstream map --suggest names a mapping for such records, if one ships"

_NO_USER = NoRequest("The event has no message of a user; there is nothing to judge.")
_BLANK = "The user's message is blank; there is nothing to judge."

_SPEAKERS: dict[str, Speaker] = {
    **dict.fromkeys(("user", "human", "end_user", "end-user", "enduser", "customer"), "user"),
    **dict.fromkeys(
        ("assistant", "ai", "model", "bot", "chatbot", "gpt", "chatgpt", "bing", "bard"),
        "assistant",
    ),
}


class _Side:
    """The texts of one side, collected from the last turn to the first."""

    __slots__ = ("texts", "unread")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.unread = False

    @property
    def has_content(self) -> bool:
        return self.unread or bool(self.texts)

    @property
    def text(self) -> str | None:
        texts = self.texts
        if len(texts) < 2:
            return texts[0] if texts else None
        return BETWEEN_TURNS.join(text for text in reversed(texts) if not is_blank(text))

    def add(self, read: ReadText) -> None:
        text, unread = read
        if text is not None:
            self.texts.append(text)
        self.unread |= unread


def read_messages(
    messages: Sequence[Any], response: object = None, context_turns: int = 0
) -> Exchange | NoRequest:
    """The judged exchange of messages; `response` follows the last message.

    Args:
        messages: of the conversation.
        response: what the assistant answered, if that is no message.
        context_turns: how many earlier turns become its context.

    Raises:
        NotAnEvent: a turn that is judged has an unknown format.
    """
    exchange, begin = _read_back(messages, len(messages), response)
    if context_turns and isinstance(exchange, Exchange):
        return _with_earlier(exchange, messages, begin, context_turns // 2)
    return exchange


def read_every_exchange(
    messages: Sequence[Any], response: object = None, context_turns: int = 0
) -> list[Exchange | NoRequest | NotAnEvent]:
    """All exchanges of a conversation, the oldest first, each as `read_messages` reads the last.

    What the assistant wrote before the first request is no exchange.
    """
    found: list[Exchange | NoRequest | NotAnEvent] = []
    end = len(messages)
    while True:
        try:
            exchange, end = _read_back(messages, end, response)
            found.append(exchange)
        except NotAnEvent as error:
            found.append(error)
            end = _begin_of_unreadable(messages, end)
        response = None
        if not end:
            break
    if len(found) > 1 and found[-1] is _NO_USER:
        found.pop()
    found.reverse()
    return with_contexts(found, context_turns // 2) if context_turns else found


def _with_earlier(exchange: Exchange, messages: Sequence[Any], end: int, most: int) -> Exchange:
    """An exchange with at most `most` of those before the message `end` as its context."""
    newest_first: list[Pair] = []
    all_are_there = True
    while end:
        try:
            earlier, end = _read_back(messages, end, None)
        except NotAnEvent:
            all_are_there = False
            break
        if earlier is _NO_USER:
            break
        pair = pair_of(earlier)
        if pair is None:
            all_are_there = False
        elif len(newest_first) == most:
            all_are_there = False
            break
        else:
            newest_first.append(pair)
    return in_context(exchange, reversed(newest_first), all_are_there=all_are_there)


def _read_back(
    messages: Sequence[Any], end: int, response: object
) -> tuple[Exchange | NoRequest, int]:
    """The exchange that ends before the message `end`, and the number of its first message."""
    request, answer = _Side(), _Side()
    begin = 0
    if response is not None:
        answer.add(_read_response(response))
    for at, message, speaker in _turns_backwards(messages, end):
        if speaker == "user":
            # a turn that has only results of tools adds nothing
            request.add(read_message(message, "messages", at, speaker))
        elif request.has_content:
            if _has_content(message, at):
                begin = at + 1
                break
        else:
            text, unread = read_message(message, "messages", at, speaker)
            answer.add((None if is_blank(text) else text, unread))
    if not request.has_content:
        return _NO_USER, begin
    return _exchange(request, answer), begin


def _begin_of_unreadable(messages: Sequence[Any], end: int) -> int:
    """Where an exchange begins that cannot be read: where it would if all of it could be.

    So no message is read for more than two exchanges.
    """
    has_request = False
    for at in range(end - 1, -1, -1):
        message = messages[at]
        speaker = _speaker(message.get("role")) if isinstance(message, dict) else None
        if speaker == "user":
            has_request = has_request or _is_request(message, at)
        elif speaker == "assistant" and has_request and _has_content(message, at):
            return at + 1
    return 0


def read_prompt(prompt: object, response: object = None) -> Exchange | NoRequest:
    """The judged exchange of an event in the short form.

    Raises:
        NotAnEvent: prompt or response have an unknown format.
    """
    if isinstance(prompt, str) and (response is None or isinstance(response, str)):
        # the fast path for most events
        return NoRequest(_BLANK) if is_blank(prompt) else Exchange(prompt, response)
    request, answer = _Side(), _Side()
    request.add(read_content(prompt, "prompt"))
    if response is not None:
        answer.add(_read_response(response))
    return _exchange(request, answer)


def read_turns(messages: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """Role and text of each message as far as they can be read, for display."""
    for at, message in enumerate(messages):
        if not isinstance(message, dict):
            continue
        role = message.get("role")
        try:
            text, unread = read_message(message, "messages", at, "assistant")
        except NotAnEvent:
            text, unread = None, True
        shown = [text] if text is not None else []
        yield (
            role if isinstance(role, str) else "?",
            BETWEEN_PARTS.join([*shown, "(not text)"] if unread else shown),
        )


def _exchange(request: _Side, answer: _Side) -> Exchange | NoRequest:
    prompt = request.text
    if prompt is None or is_blank(prompt):
        return NoRequest(
            "The user's message has parts that are not text, such as images, and no text; there is"
            " nothing to judge."
            if request.unread
            else _BLANK
        )
    flags = (NOT_ALL_TEXT,) if request.unread or answer.unread else ()
    return Exchange(prompt, answer.text, flags)


def _turns_backwards(
    messages: Sequence[Any], end: int
) -> Iterator[tuple[int, dict[str, Any], Speaker]]:
    """The turns of user and assistant before the message `end`, from the last to the first."""
    for at in range(end - 1, -1, -1):
        message = messages[at]
        if isinstance(message, dict):
            speaker = _speaker(message.get("role"))
            if speaker is not None:
                yield at, message, speaker
        elif message is not None:
            raise NotAnEvent(
                f"Not an event: messages.{at} is {kind_of(message)} instead of an object with"
                " role and content."
            )


def _speaker(role: object) -> Speaker | None:
    """The speaker of a role; None for other roles, whose text is context."""
    if not isinstance(role, str):
        return None
    return _SPEAKERS.get(role) or _SPEAKERS.get(role.strip().lower())


def _has_content(message: dict[str, Any], at: int) -> bool:
    """Whether an older turn of the assistant has content: the judged part starts after it."""
    try:
        text, unread = read_message(message, "messages", at, "assistant")
    except NotAnEvent:
        return True
    return unread or not is_blank(text)


def _is_request(message: dict[str, Any], at: int) -> bool:
    """Whether a turn of the user has content; one that cannot be read has."""
    try:
        text, unread = read_message(message, "messages", at, "user")
    except NotAnEvent:
        return True
    return unread or text is not None


def _read_response(response: object) -> ReadText:
    if type(response) is str:
        return response, False
    if isinstance(response, dict):
        for key, whose in (
            ("choices", "OpenAI's"),
            ("output", "OpenAI's"),
            ("candidates", "Gemini's"),
            ("body", "a batch's"),
        ):
            if isinstance(response.get(key), list | dict) and "content" not in response:
                raise NotAnEvent(
                    f"Not an event: response looks like {whose} response body ({key}) instead of"
                    f" the text that was answered; {SUGGEST}."
                )
        return read_message(response, "response", None, "assistant")
    return read_content(response, "response")
