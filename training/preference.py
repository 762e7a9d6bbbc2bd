"""HS-DPO (GuardReasoner, arXiv:2501.18492): TRL's trainer with its pairs weighted.

The loss of a pair is `-alpha * logsigmoid(beta * margin)`, where alpha reflects how often the guard
was wrong, plus `sft_weight` times the mean negative log-likelihood of the chosen completion's
tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch.nn.functional import logsigmoid
from trl import DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

_WEIGHT = "alpha"


@dataclass
class WeightedPairs(DataCollatorForPreference):
    """TRL's collator, which also keeps the weights of the pairs."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """See `DataCollatorForPreference`."""
        weights = torch.tensor([example[_WEIGHT] for example in examples], dtype=torch.float32)
        return super().torch_call(examples) | {_WEIGHT: weights}


class HardSampleTrainer(DPOTrainer):
    """Trains on rows of `prompt_ids`, `chosen_ids`, `rejected_ids` and `alpha`.

    Args:
        sft_weight: of the chosen completions' negative log-likelihood.
    """

    def __init__(self, *arguments: Any, sft_weight: float, **named: Any) -> None:
        self._sft_weight = sft_weight
        super().__init__(*arguments, **named)

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        """The rows as they are: they were encoded as the worker encodes."""
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if _WEIGHT not in self._signature_columns:
            self._signature_columns.append(_WEIGHT)

    def compute_ref_log_probs(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """See `DPOTrainer`; the weights are not the model's affair."""
        known = {name: value for name, value in inputs.items() if name != _WEIGHT}
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

    def _keep(self, figures: dict[str, torch.Tensor]) -> None:
        kept = self._metrics["train" if self.model.training else "eval"]
        for name, figure in figures.items():
            gathered = self.accelerator.gather(figure.detach().float().reshape(1))
            kept[name].append(gathered.mean().item())
