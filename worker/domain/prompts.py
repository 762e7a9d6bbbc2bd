"""Prompts: text and control tokens in turn."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum


class Place(Enum):
    """What comes before a text: some tokenizers add a space at the beginning."""

    START = "start"
    CONTROL = "control"
    TEXT = "text"


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
        place: what comes before it.
    """

    runs: tuple[str | Control, ...]
    opening: str = field(default="", compare=False)
    place: Place = Place.START

    @property
    def text(self) -> str:
        """The prompt as a person reads it, control tokens by their names."""
        return "".join(
            run if isinstance(run, str) else run.name if run.shown else "" for run in self.runs
        )


def split_at_controls(text: str, names: Sequence[str]) -> tuple[str | Control, ...]:
    """A text of the guard in runs: what it spells of these names is control tokens.

    Never of untrusted text.
    """
    found: list[str | Control] = []
    rest = text
    while rest:
        at, name = min(
            ((at, name) for name in names if (at := rest.find(name)) >= 0),
            # of two names at a place, the longer one
            key=lambda one: (one[0], -len(one[1])),
            default=(len(rest), ""),
        )
        if at:
            found.append(rest[:at])
        if name:
            found.append(Control(name))
        rest = rest[at + len(name) :]
    return tuple(found)
