"""The chat template of a model's tokenizer, which never sees the texts that it is rendered with.

A conversation is rendered once for each shape: roles, arguments, and which texts are empty. The
texts are then put into what was rendered, so that a text cannot change what the template does, nor
spell a control token.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from typing_extensions import override

from worker.adapters.chat_files import (
    DEFAULT,
    AddedToken,
    control_tokens,
    read_added_tokens,
    read_chat_files,
)
from worker.adapters.chat_sandbox import RenderingError, SandboxedTemplate
from worker.adapters.chat_skeleton import AlteredError, Skeleton, make_skeleton
from worker.domain.chat import ChatMessage, ChatTemplate, TemplateSource
from worker.domain.errors import EngineUnavailable, WrongSetting
from worker.domain.prompts import Prompt

_KEPT_SHAPES = 256
# skeletons of longer conversations would take much memory, and such conversations are rare
_MOST_KEPT_MESSAGES = 256
_SHOWN_ROLES = 6
_LONGEST_ROLE = 40

_PLAIN = """
{%- for message in messages -%}
{{ message.role }}: {{ message.content if message.content is string else message.content[0].text }}
{% endfor -%}
"""

Turns = tuple[tuple[str, bool], ...]


class JinjaChatTemplate(ChatTemplate):
    """Renders a chat template in Jinja's language.

    Args:
        source: the template.
        model: for messages.
        added: the added tokens of the model's tokenizer.
        tokens: variables that the template always has, such as `bos_token`.

    Raises:
        EngineUnavailable: the source is no template.
    """

    def __init__(
        self,
        source: str,
        model: str,
        added: Iterable[AddedToken],
        tokens: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            self._template = SandboxedTemplate(source, tokens or {})
        except RenderingError as error:
            raise EngineUnavailable(
                f"The chat template of {model} cannot be compiled ({error}); check engine.model."
            ) from error
        self._model = model
        self._controls = {token.name: token for token in control_tokens(added, source)}
        self._kept = lru_cache(_KEPT_SHAPES)(self._skeleton)

    @override
    def render(
        self,
        messages: Sequence[ChatMessage],
        arguments: Mapping[str, Any],
        *,
        as_parts: bool = False,
        add_generation_prompt: bool = True,
    ) -> Prompt:
        make = self._kept if len(messages) <= _MOST_KEPT_MESSAGES else self._skeleton
        turns = tuple((message.role, not message.text) for message in messages)
        made = make(turns, self._json(arguments), as_parts, add_generation_prompt)
        if isinstance(made, str):
            raise WrongSetting(made)
        return made.filled([message.text for message in messages])

    def _json(self, arguments: Mapping[str, Any]) -> str:
        try:
            return json.dumps(arguments)
        except (TypeError, ValueError) as error:
            raise WrongSetting(
                f"The arguments of the chat template of {self._model} are no JSON"
                f" ({' '.join(str(error).split())}); check guard.options."
            ) from error

    def _skeleton(
        self,
        turns: Turns,
        arguments: str,
        as_parts: bool,  # noqa: FBT001 - an argument of a cache
        add_generation_prompt: bool,  # noqa: FBT001
    ) -> Skeleton | str:
        """What conversations of this shape have in common, or why there are none."""

        def rendered(contents: Sequence[str]) -> str:
            return self._template.render(
                {
                    **json.loads(arguments),
                    "messages": [
                        {"role": role, "content": _parts(text) if as_parts else text}
                        for (role, _), text in zip(turns, contents, strict=True)
                    ],
                    "add_generation_prompt": add_generation_prompt,
                }
            )

        if wrong := [role for role, _ in turns if not _is_role(role)]:
            return f"{wrong[0][:_LONGEST_ROLE]!r} is not the name of a role; check guard.name."
        try:
            return make_skeleton(rendered, [is_empty for _, is_empty in turns], self._controls)
        except RenderingError as error:
            return (
                f"The chat template of {self._model} refuses a conversation of the roles"
                f" {_shown(turns)} ({error}); check guard.name and engine.model."
            )
        except AlteredError as error:
            which = f"the text of message {error.message + 1} of {len(turns)}"
            role = turns[error.message][0]
            return (
                f"The chat template of {self._model} alters or drops {which} ({role}), so it cannot"
                " be used; check guard.name and engine.model."
            )


def load_chat_template(model: str, revision: str | None = None) -> JinjaChatTemplate:
    """The chat template of a folder or of a Hugging Face name.

    Raises:
        EngineUnavailable: there is no such model, or it has no chat template that can be used.
    """
    files = read_chat_files(model, revision)
    source = files.templates.get(DEFAULT)
    if source is None:
        has = f"none of the name {DEFAULT}, only {', '.join(files.templates)}"
        raise EngineUnavailable(
            f"The model {model} has no chat template, which this guard's prompt needs"
            f" ({has if files.templates else 'neither chat_template.jinja nor chat_template in'}"
            f"{'' if files.templates else ' tokenizer_config.json'}); check guard.name and"
            " engine.model."
        )
    return JinjaChatTemplate(source, model, read_added_tokens(model, revision), files.tokens)


def plain_chat_template(model: str) -> JinjaChatTemplate:
    """A template that writes each message after its role: where no model reads the prompt.

    Raises:
        EngineUnavailable: there is no such model.
    """
    return JinjaChatTemplate(_PLAIN, model, read_added_tokens(model))


def template_source(model: str, revision: str | None = None) -> TemplateSource:
    """Loads the chat template of a model where it is first needed."""
    return cache(lambda: load_chat_template(model, revision))


def _parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _is_role(role: str) -> bool:
    """Whether it spells no control token: the template writes it as its own text."""
    return all(one.isalnum() or one in " _-" for one in role)


def _shown(turns: Turns) -> str:
    roles = [role for role, _ in turns[:_SHOWN_ROLES]]
    return ", ".join([*roles, "…"] if len(turns) > _SHOWN_ROLES else roles) or "no messages"
