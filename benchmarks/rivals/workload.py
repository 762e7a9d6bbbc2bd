"""What is judged, and when it arrives: seeded, so that both sides get the same."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson

from training.exchanges import LabelledExchange, compose

# of the mix; a fifth of all that is composed has no response
LONG_PROMPT_SHARE, LONG_RESPONSE_SHARE = 0.15, 0.10
_MOST_PASTED = 8
# the guard that ships writes on this until its limit, some seven times the usual
_SLOW_REPLY = "la " * 300


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event.

    Attributes:
        at: seconds since the trial began.
        kind: `flow`, `burst` or `slow`, to separate their ages.
    """

    at: float
    kind: str
    value: bytes


def poisson_moments(rate: float, seconds: float, seed: int) -> list[float]:
    """Moments of arrivals that know nothing of each other, `rate` a second on average."""
    draw = random.Random(f"arrivals-{seed}")
    moments: list[float] = []
    moment = draw.expovariate(rate)
    while moment < seconds:
        moments.append(moment)
        moment += draw.expovariate(rate)
    return moments


def mixed_values(count: int, seed: int) -> list[bytes]:
    """Short and long: most as generated, some with pasted text."""
    draw = random.Random(f"mix-{seed}")
    exchanges = compose("held_out", count, seed)
    others = compose("held_out", count + _MOST_PASTED, -1 - seed)
    return [_value(*_lengthened(e, others, draw)) for e in exchanges]


def prompt_only_values(count: int, seed: int) -> list[bytes]:
    """Requests that no assistant has answered yet."""
    return [_value(e.prompt, None) for e in compose("held_out", count, seed)]


def flow(moments: Sequence[float], values: Sequence[bytes]) -> list[Arrival]:
    """The values at these moments."""
    return [Arrival(at, "flow", value) for at, value in zip(moments, values, strict=True)]


def backlog(values: Sequence[bytes], *, at: float = 0.0, kind: str = "flow") -> list[Arrival]:
    """All of the values at one moment."""
    return [Arrival(at, kind, value) for value in values]


def with_slow(arrivals: Sequence[Arrival], every: int) -> list[Arrival]:
    """The same arrivals, each so manieth a record that takes the engine long."""

    def slowed() -> Iterator[Arrival]:
        for number, arrival in enumerate(arrivals, 1):
            if number % every:
                yield arrival
            else:
                # the number keeps each from being in the prefix cache
                yield Arrival(arrival.at, "slow", _value(f"{number} {_SLOW_REPLY}", _SLOW_REPLY))

    return list(slowed())


def _lengthened(
    exchange: LabelledExchange, others: Sequence[LabelledExchange], draw: random.Random
) -> tuple[str, str | None]:
    prompt, response = exchange.prompt, exchange.response
    lot, start = draw.random(), draw.randrange(len(others) - _MOST_PASTED)
    pasted = others[start : start + draw.randint(2, _MOST_PASTED)]
    if lot < LONG_PROMPT_SHARE:
        prompt = "\n\n".join([*(e.prompt for e in pasted), prompt])
    elif lot < LONG_PROMPT_SHARE + LONG_RESPONSE_SHARE and response is not None:
        response = "\n\n".join([response, *(e.response for e in pasted if e.response)])
    return prompt, response


def _value(prompt: str, response: str | None) -> bytes:
    return orjson.dumps({"prompt": prompt, "response": response})
