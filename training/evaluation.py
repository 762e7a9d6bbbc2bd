"""Scores a guard on exchanges whose labels are known, through the reader that production uses."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from training.exchanges import LabelledExchange
from worker.evaluation.scoring import Tally, strict
from worker.guards.guardreasoner import GuardReasoner
from worker.verdicts import Judgement, Task

_MAX_NEW_TOKENS = 320
_BATCH = 100


@dataclass(slots=True)
class Scores:
    """F1 of each task, an unreadable label being a wrong one, and what else was seen."""

    count: int = 0
    tally: Tally = field(default_factory=Tally)
    inconclusive: int = 0
    wrong_words: int = 0
    flags: Counter[str] = field(default_factory=Counter)

    def add(self, example: LabelledExchange, judgement: Judgement) -> None:
        """Count one judgement."""
        self.count += 1
        self.inconclusive += judgement.status == "inconclusive"
        self.flags.update(judgement.flags)
        said = {task: judgement.reading(task).label for task in Task}
        self.tally.add(example.labels, said)

    def f1(self, task: Task) -> float:
        """Of the first label; 0 where nothing was seen."""
        return strict(self.tally.confusion(task)).f1 or 0.0

    def as_dict(self) -> dict[str, Any]:
        """For `metrics.json`."""
        return {
            "exchanges": self.count,
            "f1": {str(task): round(self.f1(task), 4) for task in Task},
            "inconclusive": self.inconclusive,
            "request_misquoted": self.wrong_words,
            "flags": dict(self.flags),
        }


def evaluate(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    guard: GuardReasoner,
    examples: Sequence[LabelledExchange],
) -> Scores:
    """Greedy completions of all examples, read and scored."""
    scores = Scores()
    tokenizer.padding_side = "left"
    for start in range(0, len(examples), _BATCH):
        chunk = examples[start : start + _BATCH]
        prompts = [
            tokenizer.bos_token + guard.render(example.prompt, example.response).text
            for example in chunk
        ]
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False).to(
            model.device
        )
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            outputs = model.generate(**inputs, max_new_tokens=_MAX_NEW_TOKENS)
        written = outputs[:, inputs["input_ids"].shape[1] :]
        texts = tokenizer.batch_decode(written, skip_special_tokens=True)
        for example, text in zip(chunk, texts, strict=True):
            judgement = guard.read(
                text, has_response=example.response is not None, finish_reason="stop"
            )
            scores.add(example, judgement)
            scores.wrong_words += _quoted(text) != _quoted(example.completion)
    return scores


def _quoted(completion: str) -> str:
    """What the first step quotes of the request."""
    return completion.partition('"')[2].partition('"')[0]
