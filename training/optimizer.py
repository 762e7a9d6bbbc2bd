"""Muon for the matrices of the layers, AdamW for the embeddings and norms, as one optimizer.

Muon (Jordan et al., 2024) makes each update of a matrix orthogonal. From scratch it needs several
times fewer steps than AdamW alone until the guard quotes and judges.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import AdamW, Muon, Optimizer


class MuonWithAdamW(Optimizer):
    """Steps both; a scheduler or a checkpoint sees the parameter groups of the two."""

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        matrix_learning_rate: float,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        matrices, others = [], []
        for name, parameter in model.named_parameters():
            in_layer = parameter.ndim == 2 and "embed" not in name and "lm_head" not in name
            (matrices if in_layer else others).append(parameter)
        self._parts: tuple[Optimizer, ...] = (
            Muon(matrices, lr=matrix_learning_rate, weight_decay=weight_decay),
            AdamW(others, lr=learning_rate, weight_decay=0.0),
        )
        super().__init__(self._groups(), {})

    def _groups(self) -> list[dict[str, Any]]:
        return [group for part in self._parts for group in part.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of each; `closure` recomputes the loss."""
        loss = closure() if closure else None
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The state of both."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state of both; loading creates new groups, so they are shared again."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = self._groups()
