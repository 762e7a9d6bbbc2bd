"""TRL's trainer for rows of two forms: every row counts as much, and batches of both alternate."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import DynamicCache
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl import SFTTrainer

_IGNORED = -100


class AlternatingBatches(LengthGroupedSampler):
    """Batches of rows of similar length, in random order.

    The library's own sampler sorts fifty batches by length, so that a guard would learn from
    completions for some dozens of steps, then from answers alone for some dozens.
    """

    def __iter__(self) -> Iterator[int]:
        """The rows, batch by batch: first the longest, so that too little memory shows at once."""
        rows = list(super().__iter__())
        first, *others = (
            rows[at : at + self.batch_size] for at in range(0, len(rows), self.batch_size)
        )
        # a part of a batch must stay the last one
        whole = [batch for batch in others if len(batch) == self.batch_size]
        order = torch.randperm(len(whole), generator=self.generator).tolist()
        shuffled = [first, *(whole[at] for at in order), *others[len(whole) :]]
        return iter([row for batch in shuffled for row in batch])


class RowTrainer(SFTTrainer):
    """The loss is the mean over rows of the mean over each row's tokens.

    With a mean over all tokens, the few of an answer-first row would count for next to nothing
    beside those of a completion.
    """

    # the loss is a mean: of several device batches, the trainer takes the mean once more
    loss_is_scaled_for_ga = False

    def _get_train_sampler(self, train_dataset: Any = None) -> AlternatingBatches:
        rows = self.train_dataset if train_dataset is None else train_dataset
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return AlternatingBatches(size, lengths=[len(ids) for ids in rows["input_ids"]])

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: FBT001
        num_items_in_batch: torch.Tensor | int | None = None,  # noqa: ARG002
    ) -> Any:
        """The loss of one device batch."""
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        loss = mean_over_rows(outputs)
        return (loss, outputs) if return_outputs else loss


def mean_over_rows(outputs: Any) -> torch.Tensor:
    """The mean over rows of the mean negative log-likelihood of each row's tokens.

    Args:
        outputs: of TRL's models, which have the log probability of each token that is learnt.
    """
    counts = outputs.label_mask.sum(dim=1).clamp(min=1)
    loss: torch.Tensor = (-outputs.log_probs.sum(dim=1) / counts).mean()
    return loss


class SharedPrefixTrainer(RowTrainer):
    """Quick enough for a CPU: reads the instruction that all prompts of a batch begin with once.

    It saves a third of the tokens, and the logits of everything that is not learnt.
    """

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: FBT001
        num_items_in_batch: torch.Tensor | int | None = None,  # noqa: ARG002
    ) -> Any:
        """The loss of one device batch, padded on the right."""
        ids, labels = inputs["input_ids"], inputs["labels"]
        shared = _shared_prefix(ids, labels)
        cache = DynamicCache(config=model.config)
        model.model(input_ids=ids[:1, :shared], past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(len(ids))
        # the padding comes last, where nothing that counts attends to it: no mask is needed
        hidden = model.model(
            input_ids=ids[:, shared:], past_key_values=cache, use_cache=True
        ).last_hidden_state
        targets = labels[:, shared + 1 :]
        learnt = targets != _IGNORED
        logits = model.lm_head(hidden[:, :-1][learnt])
        losses = cross_entropy(logits.float(), targets[learnt], reduction="none")
        shares = learnt / learnt.sum(dim=1, keepdim=True).clamp(min=1)
        loss = (losses * shares[learnt]).sum() / len(ids)
        return (loss, {"logits": logits}) if return_outputs else loss


def _shared_prefix(ids: torch.Tensor, labels: torch.Tensor) -> int:
    """How many first tokens all rows share, short of the one that the first label is read from."""
    same = (ids == ids[0]).all(dim=0).cumprod(dim=0).sum().item()
    unlabelled = (labels == _IGNORED).all(dim=0).cumprod(dim=0).sum().item()
    return max(1, min(int(same), int(unlabelled) - 1))
