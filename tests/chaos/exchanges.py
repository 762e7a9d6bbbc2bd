"""Conversations of which the whole last exchange must be judged, and what that exchange is.

The simulated engine does not quote what it judged, but a verdict tells how many tokens its prompt
had. Each turn has words of its own, so a prompt without one of the turns has fewer tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.guards.guardreasoner.prompt import render
from worker.runtime.engines import demonstration_model

_MOST_TOKENS = 100_000
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Conversation:
    """An event's fields beside its id, and the exchange that must be judged of it.

    Attributes:
        earlier: the exchanges before it, which are judged too where every one is.
    """

    event: Mapping[str, Any]
    prompt: str
    response: str | None
    earlier: Sequence[tuple[str, str]] = ()


def plain(number: int) -> Conversation:
    """A question in the short form."""
    prompt = f"How is bread {number} baked?"
    return Conversation({"prompt": prompt}, prompt, None)


def _messages_and_response(number: int) -> Conversation:
    """A response beside the messages is one more turn of the assistant."""
    asked, answer = f"How do I bake roll {number}?", f"With flour and water, as in book {number}."
    messages = [
        _turn("user", f"Good morning, baker {number}."),
        _turn("assistant", "Good morning."),
    ]
    messages.append(_turn("user", asked))
    whole = answer
    if number % 2:
        begun = f"One moment, I read about roll {number}."
        messages.append(_turn("assistant", begun))
        whole = f"{begun}\n\n{answer}"
    earlier = [(f"Good morning, baker {number}.", "Good morning.")]
    return Conversation({"messages": messages, "response": answer}, asked, whole, earlier)


def _two_user_messages(number: int) -> Conversation:
    first, second = f"I have an oven of size {number}.", f"Which loaf fits into oven {number}?"
    answer = f"The loaf of recipe {number}."
    messages = [
        _turn("user", f"Hello, I am guest {number}."),
        _turn("assistant", f"Hello, guest {number}. What shall we bake?"),
        _turn("user", first),
        _turn("user", second),
        _turn("assistant", answer),
    ]
    earlier = [(f"Hello, I am guest {number}.", f"Hello, guest {number}. What shall we bake?")]
    return Conversation({"messages": messages}, f"{first}\n\n{second}", answer, earlier)


def _two_assistant_messages(number: int) -> Conversation:
    asked = f"What is in cake {number}?"
    first, second = f"Cake {number} has three layers.", f"On top of cake {number} there is cream."
    messages = [_turn("user", asked), _turn("assistant", first), _turn("assistant", second)]
    return Conversation({"messages": messages}, asked, f"{first}\n\n{second}")


def _tool_call_between(number: int) -> Conversation:
    """A call and its result are no part of the answer; odd numbers call without a word."""
    asked, last = f"How warm is oven {number}?", f"Oven {number} has reached its temperature."
    begun = None if number % 2 else f"I ask the thermometer of oven {number}."
    call = {
        "id": f"call-{number}",
        "type": "function",
        "function": {"name": "read_thermometer", "arguments": f'{{"oven": {number}}}'},
    }
    messages = [
        _turn("user", asked),
        {"role": "assistant", "content": begun, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"call-{number}", "content": f"{number} degrees"},
        _turn("assistant", last),
    ]
    return Conversation(
        {"messages": messages}, asked, last if begun is None else f"{begun}\n\n{last}"
    )


def _long_conversation(number: int) -> Conversation:
    """One to nine exchanges, after a greeting of the assistant that belongs to none."""
    pairs = [
        (f"How long does loaf {n} of day {number} rise?", f"Loaf {n} rises {number + n} minutes.")
        for n in range(1 + number % 9)
    ]
    messages = [_turn("assistant", f"Welcome on day {number}.")]
    for asked, answer in pairs:
        messages += [_turn("user", asked), _turn("assistant", answer)]
    *earlier, (asked, answer) = pairs
    return Conversation({"messages": messages}, asked, answer, earlier)


EXCHANGES: Mapping[str, Callable[[int], Conversation]] = {
    "messages and response": _messages_and_response,
    "two user messages": _two_user_messages,
    "two assistant messages": _two_assistant_messages,
    "tool call between": _tool_call_between,
    "long conversation": _long_conversation,
}


def conversation(kind: str, number: int) -> Conversation | None:
    """What a record of this kind and number asks to be judged; None where that is not counted."""
    if kind in ("good", "in a transaction"):
        return plain(number)
    build = EXCHANGES.get(kind)
    return None if build is None else build(number)


async def prompt_tokens(exchanges: Sequence[tuple[str, str | None]]) -> list[int]:
    """The tokens of the guard's prompt for each exchange, by the demonstration tokenizer."""
    tokenizer = JsonTokenizer.load(demonstration_model())
    counts: list[int] = []
    for start in range(0, len(exchanges), _CHUNK):
        chunk = exchanges[start : start + _CHUNK]
        prompts = [render(prompt, response) for prompt, response in chunk]
        encoded = await tokenizer.encode(prompts, _MOST_TOKENS)
        counts += [len(ids) for ids in encoded if ids is not None]
    return counts


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
