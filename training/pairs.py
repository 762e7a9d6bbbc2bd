"""The mining step: completions of each item, the hard ones among them, and a pair of each."""

import gc
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from training.config import Config
from training.mining import is_right, mine, weight
from training.rows import data_path, read_events, read_rows
from training.runs import Run, write_lines
from training.sampling import Asked
from worker.evaluation.answers import Answer
from worker.evaluation.labelled import LabelledEvent
from worker.evaluation.stored import read_stored


@dataclass(frozen=True, slots=True)
class Pair:
    """Two completions of one item; `alpha` weighs the pair.

    Attributes:
        task: that on which the item is hard; None where it was not asked.
    """

    id: str
    task: str | None
    alpha: float
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class Sampled:
    """An item with its completions and their labels."""

    event: LabelledEvent
    texts: list[str]
    answers: list[Answer]


def run_mine(run: Run, config: Config, *, rehearsal: bool) -> dict[str, Any]:
    """Sample, mine and keep the pairs; returns the summary."""
    run.require("sft")
    path = data_path(run, config, "mine")
    assert path is not None  # noqa: S101 - `train` at least is there
    events = read_events(path).events
    _train_subsets(run, config)
    models = ["sft", *(f"subset-{n}" for n in range(config.mine.subsets))]
    answered = [_sample(run, config, events, name, rehearsal=rehearsal) for name in models]
    sampled = []
    for event in events:
        mixed = [one for items in answered for one in items.get(event.id, ())]
        sampled.append(Sampled(event, [text for text, _ in mixed], [said for _, said in mixed]))
    hard = hard_pairs(sampled, config.dpo.gamma)
    others = random_pairs(sampled, len(hard), config.seed)
    write_lines(run.folder / "pairs.jsonl", map(asdict, hard))
    write_lines(run.folder / "random-pairs.jsonl", map(asdict, others))
    completions = [answer for item in sampled for answer in item.answers]
    wrong = sum(
        not is_right(item.event.labels, answer.predicted)
        for item in sampled
        for answer in item.answers
    )
    return {
        "items": len(events),
        "completions": len(completions),
        "wrong": wrong,
        "unreadable": sum(answer.status != "complete" for answer in completions),
        "hard": len(hard),
        "hard_by_task": dict(Counter(pair.task for pair in hard).most_common()),
        "random": len(others),
    }


def _train_subsets(run: Run, config: Config) -> None:
    missing = [n for n in range(config.mine.subsets) if not run.model(f"subset-{n}").is_dir()]
    if not missing:
        return
    from training.sft import learnable, subset, train_guard  # noqa: PLC0415 - slow to import

    path = data_path(run, config, "train")
    assert path is not None  # noqa: S101
    rows = learnable(path, read_rows(path))
    for n in missing:
        part = subset(rows, config.mine.subset_share, config.seed + n)
        share = config.sft.answer_first_share
        train_guard(run, config, f"subset-{n}", part, answer_first_share=share)
    # the engine wants the device's memory
    gc.collect()
    import torch  # noqa: PLC0415

    torch.cuda.empty_cache()


def _sample(
    run: Run, config: Config, events: Sequence[LabelledEvent], name: str, *, rehearsal: bool
) -> dict[str, list[tuple[str, Answer]]]:
    """By the item's id: completions of one model, and their labels."""
    count = config.mine.completions
    copies = [replace(event, id=f"{event.id}#{n}") for event in events for n in range(count)]
    kept: Path = run.folder / "completions" / f"mine-{name}.jsonl"
    asked = Asked(
        config,
        run.model(name),
        max_tokens=config.mine.max_tokens,
        temperature=config.mine.temperature,
        rehearsal=rehearsal,
    )
    answers = asked.answers([(f"Sampling {name}", copies, kept)])[0]
    texts = read_stored(kept).completions
    found: dict[str, list[tuple[str, Answer]]] = {}
    for copy in copies:
        # an item that could not be judged has no completion
        if copy.id in texts:
            item = copy.id.rpartition("#")[0]
            found.setdefault(item, []).append((texts[copy.id].completion, answers[copy.id]))
    return found


def hard_pairs(sampled: Sequence[Sampled], gamma: float) -> list[Pair]:
    """A pair of each hard item."""
    pairs = []
    for item in sampled:
        found = mine(item.event.labels, [answer.predicted for answer in item.answers])
        if found is not None:
            pairs.append(
                Pair(
                    item.event.id,
                    found.task,
                    weight(found.right, found.wrong, gamma),
                    item.texts[found.chosen],
                    item.texts[found.rejected],
                )
            )
    return pairs


def random_pairs(sampled: Sequence[Sampled], count: int, seed: int) -> list[Pair]:
    """Pairs without mining, for the ablation: of random items, a right completion and any other.

    The other one is rejected regardless of its labels, and all pairs have equal weight.
    """
    draw = random.Random(f"pairs-{seed}")
    pairs = []
    for item in draw.sample(list(sampled), len(sampled)):
        right = [
            text
            for text, answer in zip(item.texts, item.answers, strict=True)
            if is_right(item.event.labels, answer.predicted)
        ]
        if len(pairs) == count:
            break
        if not right:
            continue
        chosen = draw.choice(right)
        others = [text for text in item.texts if text != chosen]
        if others:
            pairs.append(Pair(item.event.id, None, 1.0, chosen, draw.choice(others)))
    return pairs


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file that `run_mine` wrote."""
    return [Pair(**orjson.loads(line)) for line in path.read_bytes().splitlines()]
