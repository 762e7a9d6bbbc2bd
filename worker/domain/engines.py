"""Requests to an engine and their completions, and the ports of engines and tokenizers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from worker.domain.prompts import Control, Place, Prompt, split_at_controls

FinishReason = Literal["stop", "length", "repetition"]


@dataclass(frozen=True, slots=True)
class EngineReference:
    """Which engine ran the model."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one judgement; `cached_tokens` of the prompts were read from the prefix cache."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    requests: int = 1

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.requests + other.requests,
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """What the engine made of a request.

    Attributes:
        text: what was written, up to what stopped it.
        token_ids: of `text` and of the text that stopped it, without the control token that did.
        logprobs: for each place of `EngineRequest.scores`, natural logarithms of the probability of
            its labels, as the model had it before any constraint: of the token at which the labels
            differ. Empty where the completion has no such place.
        stopped_by: the text of `EngineRequest.stop` that ended it, if one did.
    """

    text: str
    finish_reason: FinishReason | None
    usage: Usage
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[Mapping[str, float], ...] = ()
    stopped_by: str | None = None


def finish_reason_of(reasons: Sequence[FinishReason | None]) -> FinishReason | None:
    """How a judgement's completions ended: the first that was cut off counts, else the last."""
    return next((one for one in reasons if one not in ("stop", None)), reasons[-1])


def stored_completions(
    texts: str | Sequence[str],
    finish_reason: FinishReason | None,
    finish_reasons: Sequence[FinishReason | None] | None = None,
    logprobs: Sequence[tuple[Mapping[str, float], ...]] | None = None,
    stopped_by: Sequence[str | None] | None = None,
) -> list[Completion]:
    """Completions that were stored.

    Args:
        texts: of each.
        finish_reason: of the last one.
        finish_reasons: of each, where that was stored.
        logprobs: of each, where they were stored.
        stopped_by: of each, where that was stored.
    """
    given = [texts] if isinstance(texts, str) else texts
    reasons = finish_reasons
    if reasons is None:
        before: list[FinishReason | None] = ["stop"] * (len(given) - 1)
        reasons = [*before, finish_reason]
    nothing = Usage(0, 0, 0)
    return [
        Completion(text, reason, nothing, (), scores, stop)
        for text, reason, scores, stop in zip(
            given,
            reasons,
            logprobs or [() for _ in given],
            stopped_by or [None for _ in given],
            strict=False,
        )
    ]


def total_usage(completions: Sequence[Completion]) -> Usage:
    """The tokens of all completions of a judgement."""
    usage = completions[0].usage
    for completion in completions[1:]:
        usage += completion.usage
    return usage


@dataclass(frozen=True, slots=True)
class Continuation:
    """A prompt that continues an earlier request of the same judgement.

    Its tokens are those of that prompt, then those of the completion if one is given, then those of
    `text`. What was tokenised before is not tokenised again, so that the engine finds it in its
    prefix cache. `controls` are the control tokens that `text` spells, which is never untrusted.
    """

    of: "EngineRequest"
    text: str
    completion: Completion | None = None
    controls: tuple[str, ...] = ()

    @property
    def runs(self) -> tuple[str | Control, ...]:
        """Text and control tokens that follow what was tokenised before."""
        return split_at_controls(self.text, self.controls)

    @property
    def place(self) -> Place:
        """What comes before its text."""
        if self.completion is not None and self.completion.token_ids:
            return Place.TEXT
        return place_after(self.of.prompt)


def place_after(prompt: Prompt | Continuation) -> Place:
    """What comes before the text that follows a prompt."""
    if not prompt.runs:
        return prompt.place
    return Place.CONTROL if isinstance(prompt.runs[-1], Control) else Place.TEXT


@dataclass(frozen=True, slots=True)
class LabelPlace:
    """A place in a completion at which the probability of some labels is wanted.

    Attributes:
        labels: as they are written there, with the space before them. Two labels whose tokens do
            not differ are refused.
        after: the text before it; the search begins at the place before. The first place without
            such a text is the start of the completion.
        last: whether the last such text counts, not the first: reasoning before can spell it too.
    """

    labels: tuple[str, ...]
    after: str = ""
    last: bool = False


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What a guard asks of an engine.

    Attributes:
        max_tokens: of the completion; None leaves it to `engine.max_tokens`, which also bounds it.
        stop_tokens: control tokens that end the completion, by name.
        stop: texts that end it; they are not part of its text.
        choices: the completion is one of these.
        scores: the places at which probabilities are wanted, in their order in the completion.
        temperature: 0 is greedy.
        priority: the lowest goes first.
        stop_loops: end the completion early, as `repetition`, where it repeats itself.
    """

    prompt: Prompt | Continuation
    max_tokens: int | None = None
    stop_tokens: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    scores: tuple[LabelPlace, ...] = ()
    temperature: float = 0.0
    priority: int = 0
    stop_loops: bool = False


def before_labels(request: EngineRequest, place: LabelPlace) -> Place:
    """What comes before the labels of a place."""
    return Place.TEXT if place.after else place_after(request.prompt)


def up_to_stop(text: str, stops: Sequence[str]) -> tuple[str, str | None]:
    """A text up to the first of the stop texts in it, and that stop text."""
    found = [(at, stop) for stop in stops if (at := text.find(stop)) >= 0]
    if not found:
        return text, None
    at, stop = min(found)
    return text[:at], stop


class Engine(Protocol):
    """Completes prompts, many at a time."""

    @property
    def reference(self) -> EngineReference:
        """Name and version, for the verdict."""
        ...

    @property
    def max_num_seqs(self) -> int:
        """How many prompts it runs at once."""
        ...

    @property
    def max_prompt_tokens(self) -> int:
        """The longest prompt that still leaves space for an answer."""
        ...

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags that every verdict of this engine carries."""
        ...

    @property
    def progress(self) -> int:
        """A count that grows while the engine works; it does not change while the engine hangs."""
        ...

    async def start(self) -> None:
        """Load the model; after `stop`, load it again.

        Raises:
            EngineUnavailable: it cannot be loaded.
        """
        ...

    async def complete(
        self,
        request: EngineRequest,
        prompt_token_ids: Sequence[int],
        *,
        request_id: str,
        trace: Mapping[str, str],
    ) -> Completion:
        """Complete a request whose prompt is tokenised; cancelling the call frees the engine of it.

        Raises:
            InvalidRequest: it refuses this request.
            Retriable: it failed for a passing reason.
            EngineDead: it is gone.
            EngineInterrupted: it died under this request and is being restarted.
        """
        ...

    async def ready(self) -> None:
        """Return when requests are taken: at once, except during a restart.

        Raises:
            EngineDead: they never will be.
        """
        ...

    async def stop(self) -> None:
        """Free the device."""
        ...


class Tokenizer(Protocol):
    """Turns prompts into token ids."""

    async def encode(self, prompts: Sequence[Prompt], limit: int) -> list[list[int] | None]:
        """Token ids of each prompt; None for one that has more than `limit` tokens."""
        ...

    def token_id(self, name: str) -> int:
        """The id of a control token.

        Raises:
            EngineUnavailable: this model has no such token.
        """
        ...
