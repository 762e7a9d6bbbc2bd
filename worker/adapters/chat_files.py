"""What the files of a model say about its chat template and its control tokens."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from worker.adapters.model_files import model_file, optional_model_file
from worker.domain.errors import EngineUnavailable

DEFAULT = "default"
_CONFIG = "tokenizer_config.json"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ChatFiles:
    """The chat templates of a model.

    Attributes:
        templates: their sources by name; a model with one template calls it `default`.
        tokens: variables of the templates, such as `bos_token`.
    """

    templates: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str | None:
        """The text of all templates; None if there is none."""
        return "\n".join(self.templates.values()) if self.templates else None


class AddedToken(NamedTuple):
    """An entry of `added_tokens` in `tokenizer.json`; the strips take white space next to it."""

    name: str
    special: bool
    lstrip: bool = False
    rstrip: bool = False


def read_chat_files(model: str, revision: str | None = None) -> ChatFiles:
    """The chat templates of a folder or of a Hugging Face name.

    `chat_template.jinja` goes before the templates of `tokenizer_config.json`.

    Raises:
        EngineUnavailable: there is no such model, or a file is no template.
    """
    config = _config(model, revision)
    tokens = {name: _name(value) for name, value in config.items() if name.endswith("_token")}
    found = optional_model_file(model, "chat_template.jinja", revision)
    if found is not None:
        try:
            templates = {DEFAULT: found.read_text("utf-8")}
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable(model, "chat_template.jinja", error) from error
    else:
        templates = _templates(model, config.get("chat_template"))
    for name, source in templates.items():
        if len(source) > _MOST_BYTES:
            raise EngineUnavailable(
                f"The chat template {name!r} of {model} has {len(source):,} characters, more than"
                f" {_MOST_BYTES:,}; check engine.model."
            )
    return ChatFiles(templates, {name: value for name, value in tokens.items() if value})


def read_added_tokens(model: str, revision: str | None = None) -> list[AddedToken]:
    """The added tokens of a model's `tokenizer.json`.

    Raises:
        EngineUnavailable: there is no such model, or no such file.
    """
    path = model_file(model, "tokenizer.json", revision)
    try:
        added = orjson.loads(path.read_bytes()).get("added_tokens") or []
        return [
            AddedToken(
                one["content"], bool(one.get("special")), bool(one["lstrip"]), bool(one["rstrip"])
            )
            for one in added
        ]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(model, "tokenizer.json", error) from error


def control_tokens(added: Iterable[AddedToken], source: str | None) -> list[AddedToken]:
    """The added tokens that only a template may write: text that spells one stays text.

    These are the special ones, and of the others those that a template spells: Qwen's `<think>` is
    not special. Without a template each could be one. Words and white space, which some
    vocabularies add too, are text.
    """
    return [
        token
        for token in added
        if token.name
        and (token.special or (_is_marked(token.name) and (source is None or token.name in source)))
    ]


def _is_marked(name: str) -> bool:
    return not all(one.isalnum() or one.isspace() for one in name)


def _config(model: str, revision: str | None) -> dict[str, Any]:
    path = optional_model_file(model, _CONFIG, revision)
    if path is None:
        return {}
    try:
        config = orjson.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _unreadable(model, _CONFIG, error) from error
    return config if isinstance(config, dict) else {}


def _templates(model: str, given: Any) -> dict[str, str]:
    """`chat_template` of the configuration: a text, or a list of named ones."""
    match given:
        case None:
            return {}
        case str():
            return {DEFAULT: given}
        case list():
            named = {
                one["name"]: one["template"]
                for one in given
                if isinstance(one, dict)
                and isinstance(one.get("name"), str)
                and isinstance(one.get("template"), str)
            }
            if len(named) == len(given):
                return named
    raise EngineUnavailable(
        f"chat_template in the {_CONFIG} of {model} is neither a text nor a list of named texts;"
        " check engine.model."
    )


def _name(token: Any) -> str | None:
    """A token of the configuration: its name, or an object that holds it."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else None


def _unreadable(model: str, name: str, error: Exception) -> EngineUnavailable:
    return EngineUnavailable(
        f"The {name} of {model} cannot be read ({type(error).__name__}); check engine.model."
    )
