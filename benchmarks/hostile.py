"""`python -m benchmarks.hostile`: the cost of hostile events relative to plain ones.

Each family of texts goes through the worker's own `Judge`: decoding, rendering, tokenising, looking
for imitations, reading the completion and making the verdict. The completion is hostile too: the
engine, which takes no time, gives the text back. Exit 1 if a family costs more than twice as much
CPU as plain text.

A tokenizer's own time depends on how many words a text splits into, and is most of the total: the
table shows it apart, and the ratio with the tokenizer's time for plain text in its place.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated

import orjson
import typer

from benchmarks.micro.way import ReadyEngine, build_judge, demonstration_tokenizer
from worker.adapters.clock import SystemClock
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.decoding.decoder import Refused
from worker.domain.records import Partition, Record
from worker.domain.verdict_records import verdict_record
from worker.guards.guardreasoner.prompt import render
from worker.telemetry import Telemetry

MAX_RATIO = 2.0
_MAX_PROMPT_TOKENS = 1 << 20
PLAIN = "Please tell me how to bake bread, and which flour I need for it.\n"
# a prefix, and the text repeated after it
FAMILIES = {
    "plain": ("", PLAIN),
    "blanks": ("request", " "),
    "line breaks": ("x", "\n"),
    "one letter": ("", "a"),
    "digits": ("", "7"),
    "punctuation": ("", "!?"),
    "imitated turns": ("", "request \t \n"),
    "imitated tasks": ("", "# task    1    x\n"),
    "open tokens": ("", "<|a"),
    "tokens": ("", "<|eot_id|>\n"),
    "field lines": ("# Task 1\n", "Request: odd\nso\n"),
    "answers": ("", "Answers:\nRequest: harmful\n"),
    "headers": ("", "# Task 1\n## Conclusion\nharmful\n"),
    "zero width": ("a", "\u200b"),
    "combining": ("a", "\u0301"),
    "Chinese": ("", "\u4f60"),
    "emoji": ("", "\U0001f600"),
    "escapes": ("a", '\x1b"\\'),
}


def hostile_text(family: str, size_bytes: int) -> str:
    """A family's text, as long in UTF-8 as all others of this size."""
    first, repeated = FAMILIES[family]
    return first + repeated * ((size_bytes - len(first)) // len(repeated.encode()))


@dataclass(frozen=True, order=True)
class Cost:
    """CPU seconds of the process for an event, and the tokenizer's part of them."""

    whole: float
    tokenizer: float
    tokens: int


async def cost(text: str, tokenizer: JsonTokenizer, events: int) -> Cost:
    """What an event of this text costs."""
    clock = SystemClock()
    engine = ReadyEngine([text], _MAX_PROMPT_TOKENS)
    judge = build_judge(engine, tokenizer, Telemetry(clock))
    value = orjson.dumps({"id": "e", "prompt": text, "response": text})
    record = Record(Partition("events", 0), 1, 0, None, value, (), 0, 0.0)
    began = time.process_time()
    for preparation in await judge.prepare([record] * events):
        case = preparation.exchanges[0]
        if isinstance(case, Refused):
            raise case.error
        verdict = await judge.judge(case)
        verdict_record(verdict, topic="verdicts", record=record)
    whole, began = time.process_time() - began, time.process_time()
    await tokenizer.encode([render(text, text, "raw")] * events, _MAX_PROMPT_TOKENS)
    alone = time.process_time() - began
    return Cost(whole / events, alone / events, len(case.prompt_token_ids))


def main(
    size_bytes: Annotated[int, typer.Option(help="Of the request, and of the response.")] = 12_000,
    events: Annotated[int, typer.Option(help="Of each family, in each round.")] = 16,
    rounds: Annotated[int, typer.Option(help="Of which the cheapest counts.")] = 5,
) -> None:
    """Compare the families with plain text; exit 1 if one costs more than twice as much."""
    tokenizer = demonstration_tokenizer()
    found: dict[str, Cost] = {}
    for _ in range(rounds):
        for family in FAMILIES:
            text = hostile_text(family, size_bytes)
            one = asyncio.run(cost(text, tokenizer, events))
            found[family] = min(found.get(family, one), one)
    plain = found["plain"]
    names = ("tokens", "CPU ms an event", "of it tokenizer", "ratio", "without")
    typer.echo(f"{'family':<16}" + "".join(f"{name:>17}" for name in names))
    worst = 0.0
    for family, one in found.items():
        without = (one.whole - one.tokenizer + plain.tokenizer) / plain.whole
        worst = max(worst, one.whole / plain.whole)
        typer.echo(
            f"{family:<16}{one.tokens:>17,}{one.whole * 1e3:>17.2f}{one.tokenizer * 1e3:>17.2f}"
            f"{one.whole / plain.whole:>17.2f}{without:>17.2f}"
        )
    if worst > MAX_RATIO:
        typer.echo(f"A family costs more than {MAX_RATIO:g} times what plain text costs.")
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
