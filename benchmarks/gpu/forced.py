"""An engine whose completions have the lengths of a real guard's, whatever its weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from typing_extensions import override

from worker.adapters.vllm.engine import VllmEngine
from worker.domain.engines import Completion, EngineRequest


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of a completion.

    Attributes:
        reasoning: of a completion that reasons.
        answers: of the block of answers, with the token that ends it.
    """

    reasoning: int
    answers: int


def forced(request: EngineRequest, lengths: Lengths) -> EngineRequest:
    """The request as it is measured.

    Nothing ends a completion early. Random weights repeat one token when they are greedy, so a
    reasoning is drawn: then it holds no loops, and the engine looks for them as it always does.
    """
    if request.scores:
        return replace(request, max_tokens=lengths.answers, stop_tokens=(), stop=())
    return replace(request, max_tokens=lengths.reasoning, stop_tokens=(), stop=(), temperature=1.0)


class ForcedEngine(VllmEngine):
    """vLLM, asked for completions of these lengths."""

    def __init__(self, *, lengths: Lengths, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._lengths = lengths

    @override
    async def complete(
        self,
        request: EngineRequest,
        prompt_token_ids: Sequence[int],
        *,
        request_id: str,
        trace: Mapping[str, str],
    ) -> Completion:
        return await super().complete(
            forced(request, self._lengths), prompt_token_ids, request_id=request_id, trace=trace
        )
