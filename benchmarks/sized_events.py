"""Events that weigh what they are wished to: with a longer prompt, or a longer conversation."""

import itertools
from collections.abc import Iterator
from typing import Any, Literal

import orjson

from training.exchanges import compose

Longer = Literal["prompt", "conversation"]
_COMPOSED = 1000


def sized_values(count: int, size_bytes: int, longer: Longer) -> list[bytes]:
    """Events of this size, from what an exchange itself weighs on; short of it by a turn's frame.

    What is added is text of other exchanges: in front of the prompt, like pasted text, so
    that all of it is judged; or as turns before the exchange that is judged.
    """
    exchanges = compose("held_out", _COMPOSED, 17)
    texts = itertools.cycle(text for e in exchanges for text in (e.prompt, e.response) if text)
    build = _with_prompt if longer == "prompt" else _with_turns
    judged = (
        (str(n), e.prompt, e.response or "") for n, e in enumerate(itertools.cycle(exchanges))
    )
    return [orjson.dumps(build(*one, texts, size_bytes)) for one in itertools.islice(judged, count)]


def _with_prompt(
    event_id: str, prompt: str, response: str, texts: Iterator[str], size_bytes: int
) -> dict[str, Any]:
    event = {"id": event_id, "prompt": prompt, "response": response}
    room = size_bytes - _weight(event)
    pasted: list[str] = []
    while room > 0:
        text = _cut(f"{next(texts)}\n", room)
        room -= _weight(text) - _weight("")
        if not text:
            break
        pasted.append(text)
    return event | {"prompt": "".join(pasted) + prompt}


def _with_turns(
    event_id: str, prompt: str, response: str, texts: Iterator[str], size_bytes: int
) -> dict[str, Any]:
    last = [_turn("user", prompt), _turn("assistant", response)]
    room = size_bytes - _weight({"id": event_id, "messages": last})
    turns: list[dict[str, str]] = []
    for role in itertools.cycle(("user", "assistant")):
        room -= _weight(_turn(role, "")) + len(",")
        text = _cut(next(texts), room)
        if not text:
            break
        room -= _weight(text) - _weight("")
        turns.append(_turn(role, text))
    return {"id": event_id, "messages": [*turns, *last]}


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _weight(value: object) -> int:
    return len(orjson.dumps(value))


def _cut(text: str, room: int) -> str:
    """As much of it as fits the size, in JSON."""
    if room <= 0:
        return ""
    text = text[:room]
    while text and _weight(text) - _weight("") > room:
        text = text[: -max(1, (_weight(text) - _weight("") - room) // 4)]
    return text
