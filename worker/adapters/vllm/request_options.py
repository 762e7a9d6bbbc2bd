"""Sampling parameters for a kind of requests, and the log probabilities from their completions."""

from typing import Any

from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.domain.engines import EngineRequest

# the longest and the shortest repeated pattern, in tokens, and how often it must repeat
_LOOP = (64, 8, 10)


class RequestOptions:
    """The sampling parameters for one kind of request.

    Choices of a single token each become a mask; others become a grammar, which vLLM compiles on
    first use. Log probabilities are raw: neither changes them.
    """

    def __init__(self, request: EngineRequest, tokenizer: JsonTokenizer, max_tokens: int) -> None:
        from vllm.sampling_params import (  # noqa: PLC0415
            RepetitionDetectionParams,
            RequestOutputKind,
            SamplingParams,
            StructuredOutputsParams,
        )

        self.stop_token_ids = [tokenizer.token_id(name) for name in request.stop_tokens]
        self._place, self._labels = (
            tokenizer.label_tokens(request.scores) if request.scores else (0, {})
        )
        chosen: dict[str, Any] = {}
        if request.choices:
            ids = [tokenizer.ids(choice) for choice in request.choices]
            if all(len(one) == 1 for one in ids):
                chosen = {"allowed_token_ids": [one[0] for one in ids], "max_tokens": 1}
            else:
                choices = StructuredOutputsParams(choice=list(request.choices))
                chosen = {"structured_outputs": choices}
        if request.stop_loops:
            chosen["repetition_detection"] = RepetitionDetectionParams(*_LOOP)
        if self._labels:
            chosen["logprob_token_ids"] = list(self._labels.values())
        self.parameters = SamplingParams(
            **{
                "temperature": request.temperature,
                "max_tokens": min(request.max_tokens or max_tokens, max_tokens),
                "stop_token_ids": self.stop_token_ids,
                "stop": list(request.stop) or None,
                "output_kind": RequestOutputKind.FINAL_ONLY,
                **chosen,
            }
        )

    def logprobs(self, positions: Any) -> dict[str, float]:
        """The log probabilities of the labels; empty if the completion ended before their token."""
        if not self._labels or positions is None or len(positions) <= self._place:
            return {}
        held = positions[self._place]
        return {
            label: float(held[token].logprob)
            for label, token in self._labels.items()
            if token in held
        }
