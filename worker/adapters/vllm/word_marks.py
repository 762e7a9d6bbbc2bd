"""Tokenizers that mark the beginning of a text with a space, as those of SentencePiece do.

Text that follows other text gets no such mark: without it, the tokens of a label are not those that
a model writes in the middle of its answer.
"""

import json
from enum import Enum
from typing import Any

from tokenizers import Tokenizer
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import Sequence as PreTokenizers

_State = dict[str, Any]


class Marks(Enum):
    """Where a tokenizer adds a space that the text does not have."""

    NOWHERE = "nowhere"
    START = "start"
    AFTER_CONTROL_TOO = "after control too"


def unmarked(tokenizer: Tokenizer) -> tuple[Tokenizer, Marks]:
    """The same tokenizer, which adds no space to the beginning of a text, and where this one does.

    It is the given one where that adds none.
    """
    seen: set[Marks] = set()
    normalizer = _without(_state(tokenizer.normalizer), seen)
    pre_tokenizer = _without(_state(tokenizer.pre_tokenizer), seen)
    if not seen:
        return tokenizer, Marks.NOWHERE
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.encode_special_tokens = tokenizer.encode_special_tokens
    copy.normalizer = _restored(Normalizers([]), normalizer)
    copy.pre_tokenizer = _restored(PreTokenizers([]), pre_tokenizer)
    return copy, Marks.START if seen == {Marks.START} else Marks.AFTER_CONTROL_TOO


def _state(part: Any) -> _State | None:
    return None if part is None else json.loads(part.__getstate__())


def _restored(part: Any, state: _State | None) -> Any:
    if state is None:
        return None
    # a sequence of one, as the library has a class for each kind
    name = "normalizers" if isinstance(part, Normalizers) else "pretokenizers"
    part.__setstate__(json.dumps({"type": "Sequence", name: [state]}).encode())
    return part


def _without(state: _State | None, seen: set[Marks]) -> _State | None:
    """The state of a part that adds no space; what such a part did is added to `seen`."""
    if state is None:
        return None
    match state:
        case {"type": "Sequence"}:
            name = "normalizers" if "normalizers" in state else "pretokenizers"
            parts = [_without(part, seen) for part in state[name]]
            return {**state, name: [part for part in parts if part is not None]}
        case {"type": "Prepend"}:
            seen.add(Marks.AFTER_CONTROL_TOO)
            return None
        case {"type": "Metaspace", "prepend_scheme": "always" | "first" as scheme}:
            seen.add(Marks.START if scheme == "first" else Marks.AFTER_CONTROL_TOO)
            return {**state, "prepend_scheme": "never"}
        case {"type": "ByteLevel", "add_prefix_space": True}:
            seen.add(Marks.AFTER_CONTROL_TOO)
            return {**state, "add_prefix_space": False}
    return state
