"""A guard: how a model family is asked, and how its answers are read."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from worker.domain.engines import Completion, EngineRequest, Usage
from worker.domain.errors import InvalidRequest
from worker.domain.events import Exchange
from worker.domain.judgements import Judgement
from worker.domain.prompts import Prompt
from worker.domain.questions import Question

CompletionSpanKind = Literal["label", "step", "conclusion", "flag"]

_MOST_SAMPLES = 20

Asking = Generator[EngineRequest, Completion, Judgement]


class CompletionSpan(NamedTuple):
    """A span of a completion out of which something was read; spans can lie in one another.

    Attributes:
        of: the question's name; of a flag, its own.
    """

    start: int
    end: int
    kind: CompletionSpanKind
    of: str


class Guard(Protocol):
    """A model family's questions, prompts and grammar of answers; it does no I/O."""

    @property
    def name(self) -> str:
        """The value of `guard.name`."""
        ...

    @property
    def questions(self) -> tuple[Question, ...]:
        """What it answers, in the order of its answers."""
        ...

    @property
    def flags(self) -> Mapping[str, str]:
        """The flags that its judgements can have, each with what it means."""
        ...

    @property
    def prompt_sha256(self) -> str:
        """Identifies the template: another template has another sum."""
        ...

    def judge(self, exchange: Exchange) -> Asking:
        """Judge one exchange: yields requests, is sent their completions, returns the judgement.

        The first request does not depend on a completion. Its prompt is a `Prompt`, and is
        tokenised together with those of other exchanges. A request that the engine refuses raises
        `InvalidRequest` or `PromptTooLong` where it was yielded. Otherwise never raises, whatever
        the model wrote.
        """
        ...

    def spans(
        self, exchange: Exchange, completions: Sequence[Completion]
    ) -> tuple[tuple[CompletionSpan, ...], ...]:
        """For each completion, in order, where it says what the judgement read of it."""
        ...


@runtime_checkable
class NamesCategories(Protocol):
    """A guard that says which categories its judgements can have."""

    @property
    def categories(self) -> Mapping[str, str]:
        """The names of the categories, by their codes."""
        ...


def codes_of(guard: Guard) -> tuple[str, ...]:
    """The codes of the categories that a guard names; none where it names no categories."""
    return tuple(guard.categories) if isinstance(guard, NamesCategories) else ()


def sample_requests(guard: Guard) -> Iterator[EngineRequest]:
    """The kinds of requests that a guard makes of a model that answers nothing.

    They name the control tokens and labels that the model's tokenizer must have.
    """
    asking = guard.judge(Exchange("request", "response"))
    nothing = Completion("", "length", Usage(0, 0, 0))
    request = next(asking)
    with suppress(StopIteration):
        for _ in range(_MOST_SAMPLES):
            yield request
            request = asking.send(nothing)


def first_request(guard: Guard, exchange: Exchange) -> EngineRequest:
    """The request that a judgement begins with."""
    return next(guard.judge(exchange))


def first_prompt(guard: Guard, exchange: Exchange) -> Prompt:
    """The prompt of the request that a judgement begins with."""
    return prompt_of(first_request(guard, exchange))


def prompt_of(request: EngineRequest) -> Prompt:
    """The prompt of a first request, which continues no other."""
    if not isinstance(request.prompt, Prompt):
        raise TypeError("the first request of a judgement must not be a continuation")
    return request.prompt


def read_completions(
    guard: Guard, exchange: Exchange, completions: Sequence[Completion]
) -> Judgement | None:
    """The judgement that follows from these completions; None where the guard needs more.

    Further requests are refused: a guard that can do without them concludes.
    """
    asking = guard.judge(exchange)
    next(asking)
    try:
        for completion in completions:
            asking.send(completion)
        while True:
            asking.throw(InvalidRequest("There is no completion of this request."))
    except StopIteration as end:
        judgement: Judgement = end.value
        return judgement
    except InvalidRequest:
        return None
