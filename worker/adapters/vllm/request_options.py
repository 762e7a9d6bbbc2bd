"""Sampling parameters for a kind of requests, and the log probabilities from their completions."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.domain.engines import EngineRequest, LabelPlace, before_labels, place_after

# the longest and the shortest repeated pattern, in tokens, and how often it must repeat
_LOOP = (64, 8, 10)
_MOST_KNOWN = 512
_MOST_KNOWN_TOKENS = 32
# how a decoder shows bytes of a character that is not complete; all bytes in a row, if one is not
_INCOMPLETE = "\ufffd"
_MOST_BYTES = 4
_NEAR = 8


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
            (place, *tokenizer.label_tokens(place.labels, before_labels(request, place)))
            for place in request.scores
        ]
        # what is read back from one of these is that choice, with the space that it begins with
        self._choices: dict[tuple[int, ...], str] = {}
        chosen: dict[str, Any] = {}
        if request.choices:
            ids = [tokenizer.ids(choice, place_after(request.prompt)) for choice in request.choices]
            self._choices = {
                tuple(one): choice for one, choice in zip(ids, request.choices, strict=True)
            }
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
        """A completion; a short one from a cache: a request with choices has few completions."""
        read = self._known.get(token_ids)
        if read is None:

            def written(count: int) -> str:
                return self._tokenizer.text(token_ids[:count])

            text = self._choices.get(token_ids) or written(len(token_ids))
            places = [place for place, *_ in self._places]
            read = _Read(text, tuple(starts_of(places, text, len(token_ids), written)))
            if len(token_ids) <= _MOST_KNOWN_TOKENS:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[token_ids] = read
        return read


class _Read(NamedTuple):
    text: str
    starts: tuple[int | None, ...]


def starts_of(
    places: Sequence[LabelPlace], text: str, count: int, written: Callable[[int], str]
) -> Iterator[int | None]:
    """The token at which each place begins; None where the tokens do not have it.

    Takes `log n` decodings for each place.

    Args:
        places: in their order in the text.
        text: of a completion.
        count: of its tokens.
        written: the text of the first of its tokens, that many.
    """
    at = 0
    for place in places:
        if not place.after:
            yield 0
            continue
        find = text.rfind if place.last else text.find
        found = find(place.after, at)
        at = found + len(place.after) if found >= 0 else len(text)
        yield _tokens_of(text[:at], count, written) if found >= 0 else None


def _tokens_of(start: str, count: int, written: Callable[[int], str]) -> int | None:
    """The most tokens that write this text; tokens without text, such as control tokens, count.

    None where a token reaches over its end, and so says nothing of the labels.
    """

    def length(tokens: int) -> int:
        """Of the text up to the last complete character, which never falls with more tokens."""
        for fewer in range(tokens, max(-1, tokens - _MOST_BYTES), -1):
            text = written(fewer)
            if not text.endswith(_INCOMPLETE):
                return len(text)
        return len(written(tokens).rstrip(_INCOMPLETE))

    found = bisect_right(range(count + 1), len(start), key=length) - 1
    # the first bytes of the next character can be among them
    near = range(found, max(-1, found - _NEAR), -1)
    return next((tokens for tokens in near if written(tokens) == start), None)
