"""TRL's trainer, made quick enough for a CPU."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import DynamicCache
from trl import SFTTrainer

_IGNORED = -100


class SharedPrefixTrainer(SFTTrainer):
    """Reads the instruction that all prompts of a batch begin with only once.

    The loss is the one that TRL computes (mean over the completions' tokens): it is a third of the
    tokens that are saved, and the logits of the prompts.
    """

    # the loss is a mean: of several device batches, the trainer takes the mean once more
    loss_is_scaled_for_ga = False

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: FBT001
        num_items_in_batch: torch.Tensor | int | None = None,  # noqa: ARG002
    ) -> Any:
        """The loss of one batch, padded on the right."""
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
        counts = targets != _IGNORED
        logits = model.lm_head(hidden[:, :-1][counts])
        loss = cross_entropy(logits.float(), targets[counts])
        return (loss, {"logits": logits}) if return_outputs else loss


def _shared_prefix(ids: torch.Tensor, labels: torch.Tensor) -> int:
    """How many first tokens all rows share, short of the one that the first label is read from."""
    same = (ids == ids[0]).all(dim=0).cumprod(dim=0).sum().item()
    unlabelled = (labels == _IGNORED).all(dim=0).cumprod(dim=0).sum().item()
    return max(1, min(int(same), int(unlabelled) - 1))
