"""Sampling parameters for a kind of requests, and the log probabilities from their completions."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.domain.engines import EngineRequest

# the longest and the shortest repeated pattern, in tokens, and how often it must repeat
_LOOP = (64, 8, 10)
_MOST_KNOWN = 512


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
        self._tokenizer = tokenizer
        self._known: dict[tuple[int, ...], _Read] = {}
        self._places = [
            (place.after, *tokenizer.label_tokens(place.labels)) for place in request.scores
        ]
        chosen: dict[str, Any] = {}
        if request.choices:
            ids = [tokenizer.ids(choice) for choice in request.choices]
            if all(len(one) == 1 for one in ids):
                chosen = {"allowed_token_ids": [one[0] for one in ids], "max_tokens": 1}
            else:
                choices = StructuredOutputsParams(choice=list(request.choices))
                chosen = {"structured_outputs": choices}
            # all completions are known, so vLLM's decoding of each token is not needed
            chosen["detokenize"] = bool(request.stop)
        if request.stop_loops:
            chosen["repetition_detection"] = RepetitionDetectionParams(*_LOOP)
        if self._places:
            wanted = (token for *_, tokens in self._places for token in tokens.values())
            chosen["logprob_token_ids"] = list(dict.fromkeys(wanted))
            chosen["flat_logprobs"] = True  # cheaper, where few positions are read
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

    def text(self, token_ids: Sequence[int], decoded: str) -> str:
        """The text of a completion, also where vLLM has not decoded it."""
        return decoded if self.parameters.detokenize else self._read(tuple(token_ids)).text

    def logprobs(self, token_ids: Sequence[int], positions: Any) -> tuple[dict[str, float], ...]:
        """The log probabilities of the labels at each place, empty where there is no such place.

        Args:
            token_ids: of the completion.
            positions: what vLLM returns for each of them.
        """
        if not self._places:
            return ()
        found = []
        starts = self._read(tuple(token_ids)).starts
        for (_, differ_at, tokens), start in zip(self._places, starts, strict=True):
            held: Any = {}
            if start is not None and positions and start + differ_at < len(positions):
                held = positions[start + differ_at]
            found.append(
                {label: float(held[id_].logprob) for label, id_ in tokens.items() if id_ in held}
            )
        return tuple(found)

    def _read(self, token_ids: tuple[int, ...]) -> "_Read":
        """A short completion, from a cache: a request with choices has few completions."""
        read = self._known.get(token_ids)
        if read is None:
            text, ends = self._tokenizer.ends(token_ids)
            starts = starts_of([after for after, *_ in self._places], text, ends)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            read = self._known[token_ids] = _Read(text, tuple(starts))
        return read


class _Read(NamedTuple):
    text: str
    starts: tuple[int | None, ...]


def starts_of(afters: Sequence[str], text: str, ends: Sequence[int]) -> Iterator[int | None]:
    """The token at which each place begins; None where the tokens do not have it.

    Args:
        afters: the text before each place; empty for the start.
        text: of a short completion.
        ends: where the text up to each of its tokens ends.
    """
    at = 0
    for after in afters:
        if not after:
            yield 0
            continue
        found = text.find(after, at)
        at = found + len(after) if found >= 0 else len(text)
        # a token that reaches over the end of the text before the place says nothing of the labels
        yield ends.index(at) + 1 if found >= 0 and at in ends else None
