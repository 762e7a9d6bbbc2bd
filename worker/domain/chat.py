"""The port of the chat template that a model's tokenizer ships."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from worker.domain.prompts import Prompt


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A message of a conversation, as a chat template is given it.

    Attributes:
        role: such as `user`, `assistant` or `system`: the guard's word, never that of an event.
        text: untrusted; it stays text, whatever it spells.
    """

    role: str
    text: str


class ChatTemplate(Protocol):
    """Renders conversations as the model was trained on them."""

    def render(
        self,
        messages: Sequence[ChatMessage],
        arguments: Mapping[str, Any],
        *,
        as_parts: bool = False,
        add_generation_prompt: bool = True,
    ) -> Prompt:
        """The prompt of a conversation.

        Args:
            messages: in order.
            arguments: further variables of the template, of the types that JSON has.
            as_parts: whether the template wants a content as a list of parts, not as a string.
            add_generation_prompt: whether the prompt ends where the model's turn begins.

        Raises:
            WrongSetting: the template refuses a conversation of this shape, or alters its texts.
        """
        ...


TemplateSource = Callable[[], ChatTemplate]
"""Loads the template where it is first needed: what parses completions never needs one."""
