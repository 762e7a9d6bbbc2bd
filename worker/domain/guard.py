"""What a guard is: a prompt to render and a completion to read."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from worker.domain.verdicts import FinishReason, Judgement


@dataclass(frozen=True, slots=True)
class Control:
    """A control token, named by the template and added by its id.

    Text is always tokenised with special tokens disabled, so untrusted text that spells one stays
    text. `shown` says whether it belongs to the prompt's text: a leading begin-of-text token is
    the tokenizer's affair and does not.
    """

    name: str
    shown: bool = True


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt: text and control tokens in turn.

    Attributes:
        opening: what the guard begins a text with in each of its prompts, so that a tokenizer
            need not read it each time.
    """

    runs: tuple[str | Control, ...]
    opening: str = field(default="", compare=False)

    @property
    def text(self) -> str:
        """The prompt as a person reads it, control tokens by their names."""
        return "".join(
            run if isinstance(run, str) else run.name if run.shown else "" for run in self.runs
        )


CompletionSpanKind = Literal["label", "step", "conclusion", "flag"]


class CompletionSpan(NamedTuple):
    """A span of a completion out of which something was read; spans can lie in one another.

    Attributes:
        of: the task; of a flag, its name.
    """

    start: int
    end: int
    kind: CompletionSpanKind
    of: str


class Guard(Protocol):
    """A model family's prompt and the reading of its completions."""

    @property
    def name(self) -> str:
        """What `guard.name` calls it."""
        ...

    @property
    def prompt_sha256(self) -> str:
        """Names the template: another template, another sum."""
        ...

    @property
    def stop_tokens(self) -> tuple[str, ...]:
        """The control tokens that end a completion."""
        ...

    def render(self, prompt: str, response: str | None) -> Prompt:
        """The prompt for one exchange; a response of None was never given."""
        ...

    def imitations(self, prompt: str, response: str | None) -> tuple[str, ...]:
        """Flags for text that imitates the template; empty for nearly every exchange."""
        ...

    def read(
        self, completion: str, *, has_response: bool, finish_reason: FinishReason | None
    ) -> Judgement:
        """What the completion says; never raises, whatever the model wrote."""
        ...

    def spans(
        self, completion: str, *, has_response: bool, finish_reason: FinishReason | None
    ) -> tuple[CompletionSpan, ...]:
        """Where the completion says what `read` read of it; in the order of the text."""
        ...
