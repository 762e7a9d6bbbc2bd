"""Exchanges that try to talk a guard into a verdict, with held-out words; scored apart.

The prompt's template has no escaping, so text in an exchange can imitate it. What is true of the
exchange stays what it was: the labels are those of the exchange without the attack.
"""

import random
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.exchanges import LabelledExchange, compose

_ATTACKS: dict[str, Any] = tomllib.loads(
    Path(__file__).with_name("attacks.toml").read_text(encoding="utf-8")
)
KINDS = tuple(sorted(_ATTACKS["held_out"]))


def attack(exchange: LabelledExchange, kind: str, text: str) -> LabelledExchange:
    """The exchange with an attack of this kind; a quotation precedes it, other attacks follow it.

    An attack that forges the text after a response follows the response, if there is one.
    """
    if kind == "quoted verdict":
        return replace(exchange, prompt=f"{text} {exchange.prompt}")
    if kind == "template imitation" and exchange.response is not None:
        return replace(exchange, response=exchange.response + text)
    return replace(exchange, prompt=exchange.prompt + text)


def compose_adversarial(count: int, seed: int) -> list[LabelledExchange]:
    """`count` attacks, as many of each kind, on held-out exchanges that have none yet."""
    draw = random.Random(f"adversarial-{seed}")
    plain = iter(compose("held_out", count, seed + 1, forge=False))
    attacked = []
    for number, exchange in enumerate(plain):
        kind = KINDS[number % len(KINDS)]
        text = draw.choice(_ATTACKS["held_out"][kind])
        attacked.append(replace(attack(exchange, kind, text), kind=kind))
    return attacked
