"""Rows: labelled events, some with the completion to learn, as the model meets them.

A row is a line that `guardstream evaluate` reads, with one field more: `completion`, the reasoning
and the answers. Prompts are encoded as the worker encodes them, so what a person wrote as a control
token stays text.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from training.adversarial import compose_adversarial
from training.config import Config
from training.exchanges import LabelledExchange, compose
from training.runs import Run, write_lines
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.domain.errors import UnusableFile
from worker.domain.events import Exchange
from worker.domain.guard import Guard, first_prompt, first_request
from worker.domain.prompts import Control, Prompt
from worker.evaluation.columns import Columns
from worker.evaluation.labelled import Labelled, LabelledEvent, read_labelled


@dataclass(frozen=True, slots=True)
class Row:
    """A labelled event and the completion to learn, if there is one."""

    event: LabelledEvent
    completion: str | None


def read_events(path: Path) -> Labelled:
    """The labelled events of a file, all of them.

    Raises:
        UnusableFile: it cannot be read, is empty, or a row cannot be used.
    """
    labelled = read_labelled(path, Columns({}))
    if labelled.left_out:
        first, more = labelled.left_out[0], len(labelled.left_out) - 1
        others = f" ({more} more rows cannot be used)" if more else ""
        raise UnusableFile(f"{path}, {first.place}: {first.reason.rstrip('.')}{others}.")
    return labelled


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, all of them.

    Raises:
        UnusableFile: see `read_events`; or a completion is not a text.
    """
    return [Row(event, _completion(path, event)) for event in read_events(path).events]


def _completion(path: Path, event: LabelledEvent) -> str | None:
    completion = orjson.loads(event.value).get("completion")
    if completion is not None and not (isinstance(completion, str) and completion.strip()):
        raise UnusableFile(f"{path}, {event.place}: completion is not a text.")
    return completion


_SEEDS = {"mine": 1, "calibrate": 2}


def data_path(run: Run, config: Config, purpose: str) -> Path | None:
    """The file of rows for a purpose of `Data`; composed ones are written at the first call."""
    composed = config.data.composed
    if composed is None:
        given: Path | None = getattr(config.data, purpose)
        return given if purpose != "mine" else given or config.data.train
    path = run.folder / "rows" / f"{purpose.replace('_', '-')}.jsonl"
    if not path.is_file():
        count = getattr(composed, purpose)
        if purpose == "adversarial":
            rows = compose_adversarial(count, config.seed)
        else:
            split = "held_out" if purpose in ("held_out", "calibrate") else "train"
            # other exchanges of the same phrases than those that were trained or evaluated on
            rows = compose(split, count, config.seed + _SEEDS.get(purpose, 0))
        write_lines(path, (row_line(f"{purpose}-{n}", row) for n, row in enumerate(rows)))
    return path


def row_line(name: str, exchange: LabelledExchange) -> dict[str, Any]:
    """A composed exchange as a row."""
    return {
        "id": name,
        "prompt": exchange.prompt,
        "response": exchange.response,
        "labels": exchange.labels,
        "completion": exchange.completion,
        "metadata": {"kind": exchange.kind},
    }


def fraction(name: str) -> float:
    """A number in [0, 1) that is a name's own, the same in every process."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48


class Encoder:
    """Rows to token ids, as the engine meets them.

    Attributes:
        end: the token that ends a completion.

    Raises:
        EngineUnavailable: the tokenizer lacks a token that the guard's prompt needs.
    """

    def __init__(self, guard: Guard, tokenizer: JsonTokenizer) -> None:
        self._guard = guard
        self._tokenizer = tokenizer
        stop_tokens = first_request(guard, Exchange("", None)).stop_tokens
        self._end = Control(stop_tokens[0])
        controls = [
            run.name for run in self._prompt(Exchange("", None)).runs if isinstance(run, Control)
        ]
        for name in (*controls, *stop_tokens):
            tokenizer.token_id(name)
        self.end = tokenizer.token_id(stop_tokens[0])

    def _prompt(self, exchange: Exchange) -> Prompt:
        return first_prompt(self._guard, exchange)

    def prompts(self, events: Sequence[LabelledEvent], limit: int) -> list[list[int] | None]:
        """Of each prompt; None for one of more than `limit` tokens."""
        exchanges = [event.exchange for event in events]
        rendered = [self._prompt(one) for one in exchanges]
        return asyncio.run(self._tokenizer.encode(rendered, limit))

    def piece(self, text: str) -> list[int]:
        """Of a text that continues others and is encoded on its own."""
        return self._tokenizer.ids(text)

    def completions(self, texts: Sequence[str], limit: int) -> list[list[int] | None]:
        """Of each completion, with the token that ends it."""
        return asyncio.run(
            self._tokenizer.encode([Prompt((text, self._end)) for text in texts], limit)
        )
