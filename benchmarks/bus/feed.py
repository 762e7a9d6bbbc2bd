"""Chat events of a wanted size."""

import itertools
from collections.abc import Iterator

import orjson

from training.exchanges import compose

_COMPOSED = 2_000


def event_values(count: int, size_bytes: int) -> list[bytes]:
    """Events numbered from 0, of at most this size and rarely much less.

    An exchange is what `training.exchanges` composes; in front of it stand the texts of others,
    as a long request holds what somebody pasted.
    """
    exchanges = compose("held_out", _COMPOSED, 13)
    texts = itertools.cycle(e.prompt for e in exchanges)
    numbered = zip(range(count), itertools.cycle(exchanges), strict=False)
    return [_value(n, e.prompt, e.response, texts, size_bytes) for n, e in numbered]


def _value(
    number: int, prompt: str, response: str | None, texts: Iterator[str], size_bytes: int
) -> bytes:
    event = {"id": str(number), "prompt": prompt, "response": response}
    room = size_bytes - len(orjson.dumps(event))
    pasted = []
    while room > 0:
        # a character can weigh more than one byte: what is cut by bytes is cut to whole ones
        part = orjson.dumps(f"{next(texts)}\n\n")[1:-1][:room]
        room -= len(part)
        pasted.append(part.rsplit(b"\\", 1)[0] if room == 0 else part)
    text = b"".join(pasted).decode("utf-8", "ignore")
    event["prompt"] = orjson.loads(f'"{text}"') + prompt
    return orjson.dumps(event)
