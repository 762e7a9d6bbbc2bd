"""TRL's trainer for rows of two forms: each device batch has rows of one form."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import Sampler
from transformers import DynamicCache
from transformers.trainer_pt_utils import get_length_grouped_indices
from trl import SFTTrainer

_IGNORED = -100


class TwoForms(Sampler[int]):
    """Device batches of rows of one form and of similar length, both forms spread evenly.

    So each step learns from both in the same proportion. The library's own sampler sorts fifty
    batches by length: a guard would learn from completions for some dozens of steps, then from
    answers alone for some dozens.

    Args:
        size: of a device batch.
        lengths: of all rows, in tokens.
        answers_from: the first row of the second form; all that follow are of it too.
    """

    def __init__(self, size: int, lengths: Sequence[int], answers_from: int) -> None:
        self._size = size
        self._forms = [
            (start, lengths[start:end])
            for start, end in ((0, answers_from), (answers_from, len(lengths)))
            if start < end
        ]
        self._count = len(lengths)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        """The rows, batch by batch: first the longest, so that too little memory shows at once."""
        placed: list[tuple[float, list[int]]] = []
        rest: list[int] = []
        for start, lengths in self._forms:
            whole, part = self._batches(start, lengths)
            # a part of a batch would shift all that follow it
            rest += part
            # the longest of each form come first
            placed += [((n + 0.5) / len(whole) if n else 0, b) for n, b in enumerate(whole)]
        placed.sort(key=lambda one: one[0])
        return iter([row for _, batch in placed for row in batch] + rest)

    def _batches(self, start: int, lengths: Sequence[int]) -> tuple[list[list[int]], list[int]]:
        """The batches of one form in random order, the longest row first; and what is left."""
        rows = [start + at for at in get_length_grouped_indices(lengths, self._size)]
        batches = [rows[at : at + self._size] for at in range(0, len(rows), self._size)]
        part = batches.pop() if len(batches[-1]) < self._size else []
        order = [0, *(1 + torch.randperm(max(len(batches) - 1, 0))).tolist()] if batches else []
        return [batches[at] for at in order], part


class TwoFormsTrainer(SFTTrainer):
    """The loss is the mean over device batches of the mean over each batch's tokens.

    With a mean over all tokens, the few of an answer-first row would count for next to nothing
    beside those of a completion.

    Args:
        answers_from: the first of the rows with the answers first; None if there is none.
    """

    # the loss is a mean: of several device batches, the trainer takes the mean once more
    loss_is_scaled_for_ga = False

    def __init__(self, *arguments: Any, answers_from: int | None = None, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._answers_from = answers_from

    def _get_train_sampler(self, train_dataset: Any = None) -> TwoForms:
        rows = self.train_dataset if train_dataset is None else train_dataset
        lengths = [len(ids) for ids in rows["input_ids"]]
        first = len(lengths) if self._answers_from is None else self._answers_from
        return TwoForms(self.args.train_batch_size, lengths, first)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: FBT001
        num_items_in_batch: torch.Tensor | int | None = None,  # noqa: ARG002
    ) -> Any:
        """The loss of one device batch."""
        return super().compute_loss(model, inputs, return_outputs)


class SharedPrefixTrainer(TwoFormsTrainer):
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
        loss = cross_entropy(logits.float(), targets[learnt])
        return (loss, {"logits": logits}) if return_outputs else loss


def _shared_prefix(ids: torch.Tensor, labels: torch.Tensor) -> int:
    """How many first tokens all rows share, short of the one that the first label is read from."""
    same = (ids == ids[0]).all(dim=0).cumprod(dim=0).sum().item()
    unlabelled = (labels == _IGNORED).all(dim=0).cumprod(dim=0).sum().item()
    return max(1, min(int(same), int(unlabelled) - 1))
