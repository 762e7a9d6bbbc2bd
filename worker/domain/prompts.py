"""Prompts: text and control tokens in turn."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Control:
    """A control token, named by the template and added by its id.

    Text is always tokenised with special tokens disabled, so untrusted text that spells one stays
    text. `shown` says whether it belongs to the prompt's text: a leading begin-of-text token is
    added by the tokenizer and does not.
    """

    name: str
    shown: bool = True


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt.

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
