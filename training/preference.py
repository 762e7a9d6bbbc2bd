"""HS-DPO (GuardReasoner, arXiv:2501.18492): TRL's trainer with its pairs weighted.

The loss of a pair is `-alpha * logsigmoid(beta * margin)`, where alpha reflects how often the guard
was wrong, plus `sft_weight` times the mean negative log-likelihood of the chosen completion's
tokens. Answers that are learnt before reasoning add the same again, so that they are not unlearnt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch.nn.functional import logsigmoid
from torch.nn.utils.rnn import pad_sequence
from trl import DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

_WEIGHT = "alpha"
_ANSWERS = ("answer_ids", "answer_mask")
_ANSWER_INPUTS = ("answer_input_ids", "answer_attention_mask", "answer_labels")
_IGNORED = -100


@dataclass
class WeightedPairs(DataCollatorForPreference):
    """TRL's collator, which also keeps the weights of the pairs.

    Attributes:
        answers: whether it keeps the answers of their items too.
    """

    answers: bool = False

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """See `DataCollatorForPreference`."""
        weights = torch.tensor([example[_WEIGHT] for example in examples], dtype=torch.float32)
        batch = super().torch_call(examples) | {_WEIGHT: weights}
        return batch | self._answers(examples) if self.answers else batch

    def _answers(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Prompts with their answers; of an item without answers nothing is learnt."""
        ids, attended, labels = [], [], []
        for one in examples:
            prompt, answers, mask = one["prompt_ids"], *(one[name] for name in _ANSWERS)
            learnt = [
                token if counts else _IGNORED for token, counts in zip(answers, mask, strict=True)
            ]
            ids.append(torch.tensor([*prompt, *answers]))
            attended.append(torch.ones_like(ids[-1]))
            labels.append(torch.tensor([_IGNORED] * len(prompt) + learnt))
        padding = (self.pad_token_id, 0, _IGNORED)
        return {
            name: pad_sequence(rows, batch_first=True, padding_value=value)
            for name, rows, value in zip(
                _ANSWER_INPUTS, (ids, attended, labels), padding, strict=True
            )
        }


class HardSampleTrainer(DPOTrainer):
    """Trains on rows of `prompt_ids`, `chosen_ids`, `rejected_ids` and `alpha`.

    With `answer_ids` and `answer_mask`, it also learns the answers right after the prompt: those of
    its tokens whose mask is 1.

    Args:
        sft_weight: of the negative log-likelihood of the chosen completions, and of the answers.
    """

    def __init__(self, *arguments: Any, sft_weight: float, **named: Any) -> None:
        self._sft_weight = sft_weight
        super().__init__(*arguments, **named)

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        """The rows as they are: they were encoded as the worker encodes."""
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        known = self._signature_columns
        known += [name for name in (_WEIGHT, *_ANSWERS) if name not in known]

    def compute_ref_log_probs(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """See `DPOTrainer`; weights and answers are not the reference's affair."""
        ours = (_WEIGHT, *_ANSWER_INPUTS)
        known = {name: value for name, value in inputs.items() if name not in ours}
        return super().compute_ref_log_probs(model, known)

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:  # noqa: FBT001
        mask = inputs["completion_mask"]
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            labels=inputs["input_ids"].masked_fill(mask == 0, -100),
            use_cache=False,
            fused_lm_head=True,
        )
        chosen, rejected = outputs.log_probs.sum(dim=1).chunk(2)
        tokens = mask[:, 1:].sum(dim=1).chunk(2)[0]
        chosen_ratio = chosen - inputs["ref_chosen_logps"]
        rejected_ratio = rejected - inputs["ref_rejected_logps"]
        margin = chosen_ratio - rejected_ratio
        preference = (-inputs[_WEIGHT] * logsigmoid(self.beta * margin)).mean()
        likelihood = (-chosen / tokens).mean()
        loss = preference + self._sft_weight * likelihood
        if _ANSWER_INPUTS[0] in inputs:
            answers = self._answers_loss(model, inputs)
            loss = loss + self._sft_weight * answers
            self._keep({"loss/answers": answers})
        self._keep(
            {
                "loss/preference": preference,
                "loss/sft": likelihood,
                "rewards/margins": self.beta * margin.mean(),
                "rewards/accuracies": (margin > 0).float().mean(),
                "logps/chosen": chosen.mean(),
                "logps/rejected": rejected.mean(),
            }
        )
        return (loss, outputs) if return_outputs else loss

    def _answers_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """The mean over items of the mean over each item's tokens that are learnt."""
        ids, attended, labels = (inputs[name] for name in _ANSWER_INPUTS)
        outputs = model(
            input_ids=ids,
            attention_mask=attended,
            labels=labels,
            use_cache=False,
            fused_lm_head=True,
        )
        return _mean_over_rows(outputs)

    def _keep(self, figures: dict[str, torch.Tensor]) -> None:
        kept = self._metrics["train" if self.model.training else "eval"]
        for name, figure in figures.items():
            gathered = self.accelerator.gather(figure.detach().float().reshape(1))
            kept[name].append(gathered.mean().item())


def _mean_over_rows(outputs: Any) -> torch.Tensor:
    """The mean over rows of the mean negative log-likelihood of each row's tokens.

    Args:
        outputs: of TRL's models, which have the log probability of each token that is learnt.
    """
    counts = outputs.label_mask.sum(dim=1).clamp(min=1)
    loss: torch.Tensor = (-outputs.log_probs.sum(dim=1) / counts).mean()
    return loss
