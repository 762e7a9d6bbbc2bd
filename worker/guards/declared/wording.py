"""The prompts of a call: by a chat template, or by a text of the description."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from worker.domain.chat import ChatMessage, ChatTemplate
from worker.domain.events import Exchange
from worker.domain.prompts import Control, Place, Prompt, split_at_controls
from worker.guards.declared.description import Call
from worker.guards.declared.placeholders import Part, Slot, filled, parts, resolved

Run = str | Control


class Wording(Protocol):
    """How a call is put to the model."""

    def prompt(self, exchange: Exchange, template: Callable[[], ChatTemplate]) -> Prompt:
        """The prompt for an exchange.

        Raises:
            WrongSetting: the chat template refuses such a conversation.
        """
        ...


class LaterPrompt(Prompt):
    """A prompt that is rendered where its text or its tokens are first needed.

    So completions can be read without the model, whose tokenizer has the chat template.
    """

    __slots__ = ("_made", "_make")
    _made: Prompt | None
    _make: Callable[[], Prompt]

    def __init__(self, make: Callable[[], Prompt]) -> None:
        object.__setattr__(self, "_make", make)
        object.__setattr__(self, "_made", None)

    @property
    def runs(self) -> tuple[Run, ...]:
        """Text and control tokens in turn."""
        return self._prompt.runs

    @property
    def opening(self) -> str:
        """What every such prompt begins with."""
        return self._prompt.opening

    @property
    def place(self) -> Place:
        """What comes before it: nothing."""
        return Place.START

    @property
    def _prompt(self) -> Prompt:
        if self._made is None:
            object.__setattr__(self, "_made", self._make())
        assert self._made is not None  # noqa: S101 - it was made just now
        return self._made


@dataclass(frozen=True, slots=True)
class ChatWording:
    """Messages for the chat template that the model's tokenizer ships.

    Attributes:
        messages: role and text of each.
        prefill: what follows the prompt.
        takes_context: whether earlier turns come before the messages.
    """

    messages: tuple[tuple[str, tuple[Part, ...]], ...]
    arguments: Mapping[str, Any]
    as_parts: bool
    prefill: str
    takes_context: bool

    def prompt(self, exchange: Exchange, template: Callable[[], ChatTemplate]) -> Prompt:
        """The prompt for an exchange."""
        texts = _texts(exchange)
        messages = [
            ChatMessage(role, filled(text, texts))
            for role, text in self.messages
            # a conversation without an answer ends with the request
            if exchange.response is not None or text != (_RESPONSE,)
        ]
        if self.takes_context and exchange.context:
            earlier = [ChatMessage(turn.role, turn.text) for turn in exchange.context]
            messages = earlier + messages
        prompt = template().render(messages, self.arguments, as_parts=self.as_parts)
        if not self.prefill or self._is_there(prompt):
            return prompt
        return Prompt(joined([*prompt.runs, self.prefill]), prompt.opening)

    def _is_there(self, prompt: Prompt) -> bool:
        """Whether the template itself ends with the white space that is given with the prompt."""
        last = prompt.runs[-1] if prompt.runs else ""
        return not self.prefill.strip() and isinstance(last, str) and last.endswith(self.prefill)


@dataclass(frozen=True, slots=True)
class TextWording:
    """A text of the description, with its control tokens.

    Attributes:
        opening: the text that comes before the first place of the exchange.
    """

    runs: tuple[Part | Control, ...]
    opening: str

    def prompt(
        self,
        exchange: Exchange,
        template: Callable[[], ChatTemplate],  # noqa: ARG002 - it needs none
    ) -> Prompt:
        """The prompt for an exchange."""
        texts = _texts(exchange)
        runs = [texts[run.name] if isinstance(run, Slot) else run for run in self.runs]
        return Prompt(joined(runs), self.opening)


_PROMPT, _RESPONSE = Slot("prompt"), Slot("response")


def wording_of(call: Call, values: Mapping[str, Any], arguments: Mapping[str, Any]) -> Wording:
    """The wording of a call.

    Args:
        call: of a checked description.
        values: of its placeholders, but for the exchange.
        arguments: of the call, and of the reasoning mode.
    """
    prefill = str(resolved(call.prefill, values))
    if call.text is not None:
        runs = [*_with_controls(call.text, call.control, values), prefill]
        return TextWording(tuple(run for run in runs if run != ""), _opening(runs))
    messages = [(one.role, parts(one.text, values)) for one in call.messages]
    if call.conversation:
        messages = [("user", (_PROMPT,))]
        if call.about != "prompt":
            messages.append(("assistant", (_RESPONSE,)))
    as_parts = bool(resolved(call.as_parts, values))
    return ChatWording(
        tuple(messages), resolved(arguments, values), as_parts, prefill, call.conversation
    )


def joined(runs: Sequence[Run]) -> tuple[Run, ...]:
    """The runs, texts that follow one another as one: they are tokenised together."""
    found: list[Run] = []
    for run in runs:
        if run == "":
            continue
        if isinstance(run, str) and found and isinstance(found[-1], str):
            found[-1] += run
        else:
            found.append(run)
    return tuple(found)


def _texts(exchange: Exchange) -> dict[str, str]:
    return {"prompt": exchange.prompt, "response": exchange.response or ""}


def _with_controls(
    text: str, names: Sequence[str], values: Mapping[str, Any]
) -> list[Part | Control]:
    """The parts of a text; control tokens are found in the text of the description only."""
    found: list[Part | Control] = []
    for run in split_at_controls(text, names):
        found += [run] if isinstance(run, Control) else parts(run, values)
    return found


def _opening(runs: Sequence[Part | Control]) -> str:
    """The text between the last control token and the first place of the exchange."""
    opening = ""
    for run in runs:
        if isinstance(run, Slot):
            return opening
        opening = "" if isinstance(run, Control) else opening + run
    return ""
