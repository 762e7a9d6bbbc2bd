"""Prompts to token ids, with a Hugging Face `tokenizer.json`.

Text is encoded with special tokens disabled: `<|eot_id|>` in untrusted text stays text. So does
`<think>`, which no tokenizer calls special, where the model's chat template or a prompt has it as a
token. An opening that all prompts share is encoded once, as far as the text after it cannot change
its tokens.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from typing_extensions import override

from worker.adapters.chat_files import AddedToken, control_tokens, read_chat_files
from worker.adapters.model_files import model_file, unavailable
from worker.domain.engines import Tokenizer as TokenizerPort
from worker.domain.errors import EngineUnavailable
from worker.domain.prompts import Control, Prompt

# the text that follows can change the last pieces of an opening, up to this number
_LOOSE_PIECES = 3
# chat templates have one for each shape of a conversation, of which there is no end
_MOST_OPENINGS = 64
_CONTINUATIONS = (
    "",
    "a",
    " a",
    "\n",
    "\n\n a",
    "  \n",
    "'s",
    "7",
    ".",
    "\u00e9",
    "\u0301",
    "\u4e2d",
)


@dataclass(frozen=True, slots=True)
class _Opening:
    """The part of an opening whose tokens do not depend on the text after it."""

    text: str
    ids: list[int]


class JsonTokenizer(TokenizerPort):
    """Encodes prompts with the library `tokenizers`."""

    def __init__(self, tokenizer: Tokenizer, model: str) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self._model = model
        self._longest = _longest_token(tokenizer)
        self._openings: dict[str, _Opening] = {}
        self._controls: dict[str, int] = {}

    @classmethod
    def load(cls, model: str, revision: str | None = None) -> "JsonTokenizer":
        """Load the tokenizer of a folder or of a Hugging Face name.

        Raises:
            EngineUnavailable: there is no such model, or the download failed.
        """
        path = model_file(model, "tokenizer.json", revision)
        source = read_chat_files(model, revision).source
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except OSError as error:
            raise unavailable(model, error) from error
        except Exception as error:  # the library raises bare Exceptions for unreadable files
            raise EngineUnavailable(f"The tokenizer of {model} cannot be read.") from error
        loaded = cls(tokenizer, model)
        loaded._keep_out_of_text(token.name for token in control_tokens(_added(tokenizer), source))
        return loaded

    @override
    def token_id(self, name: str) -> int:
        found = self._controls.get(name)
        if found is None:
            token_id = self._tokenizer.token_to_id(name)
            if token_id is None:
                raise EngineUnavailable(
                    f"The model {self._model} has no token {name}, which this guard's prompt needs;"
                    " check guard.name and engine.model."
                )
            self._keep_out_of_text([name])
            found = self._controls[name] = int(token_id)
        return found

    def label_tokens(self, labels: Sequence[str]) -> tuple[int, dict[str, int]]:
        """The first position at which the tokens of labels differ, and the token of each there.

        Raises:
            EngineUnavailable: two labels do not differ within the shorter one.
        """
        encoded = {label: self._ids(label) for label in labels}
        shortest = min(map(len, encoded.values()))
        for place in range(shortest):
            tokens = {label: ids[place] for label, ids in encoded.items()}
            if len(set(tokens.values())) == len(labels):
                return place, tokens
            if len(set(tokens.values())) > 1:
                break
        raise EngineUnavailable(
            f"The tokenizer of {self._model} does not distinguish the labels {', '.join(labels)} by"
            " one token, so they have no scores; use another guard.name or engine.model."
        )

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, none of them special."""
        return self._ids(text)

    def ends(self, token_ids: Sequence[int]) -> tuple[str, list[int]]:
        """The text of a few tokens, without control tokens, and where it ends after each token."""
        texts = [self._tokenizer.decode(token_ids[: n + 1]) for n in range(len(token_ids))]
        return (texts[-1] if texts else ""), [len(text) for text in texts]

    @override
    async def encode(self, prompts: Sequence[Prompt], limit: int) -> list[list[int] | None]:
        # in a thread: the library releases the interpreter lock
        return await asyncio.to_thread(self._encode, prompts, limit)

    def _encode(self, prompts: Sequence[Prompt], limit: int) -> list[list[int] | None]:
        # prompts that cannot fit are not tokenised
        fits = [
            self._longest is None or _characters(prompt) <= limit * self._longest
            for prompt in prompts
        ]
        openings = [self._opening(prompt.opening) for prompt in prompts]
        texts = [
            _printable(run.removeprefix(opening.text))
            for prompt, opening, short in zip(prompts, openings, fits, strict=True)
            if short
            for run in prompt.runs
            if isinstance(run, str)
        ]
        # first: what a prompt names as a control token is kept out of texts
        controls = {
            run.name: self.token_id(run.name)
            for prompt in prompts
            for run in prompt.runs
            if isinstance(run, Control)
        }
        encoded = iter(self._tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        result: list[list[int] | None] = []
        for prompt, opening, short in zip(prompts, openings, fits, strict=True):
            if not short:
                result.append(None)
                continue
            ids: list[int] = []
            for run in prompt.runs:
                if isinstance(run, Control):
                    ids.append(controls[run.name])
                    continue
                if opening.text and run.startswith(opening.text):
                    ids.extend(opening.ids)
                ids.extend(next(encoded).ids)
            result.append(ids if len(ids) <= limit else None)
        return result

    def _opening(self, text: str) -> _Opening:
        found = self._openings.get(text)
        if found is None:
            if len(self._openings) >= _MOST_OPENINGS:
                return _Opening("", [])
            found = self._openings[text] = self._fixed_part(text)
        return found

    def _fixed_part(self, text: str) -> _Opening:
        """The longest start of a text that ends where the pre-tokenizer always splits.

        Tokens never span such a position. It is empty for a tokenizer without such positions
        (SentencePiece merges across words), or with special treatment of the start of a text.
        """
        nothing = _Opening("", [])
        if self._tokenizer.pre_tokenizer is None:
            return nothing
        pieces = self._tokenizer.pre_tokenizer.pre_tokenize_str(text)
        if len(pieces) <= _LOOSE_PIECES:
            return nothing
        _, (cut, _) = pieces[-_LOOSE_PIECES]
        fixed = _Opening(text[:cut], self._ids(text[:cut]))
        for more in _CONTINUATIONS:
            if fixed.ids + self._ids(text[cut:] + more) != self._ids(text + more):
                return nothing
        return fixed

    def _keep_out_of_text(self, names: Iterable[str]) -> None:
        """Make added tokens special: the library finds those that are not in any text."""
        added = self._tokenizer.get_added_tokens_decoder().values()
        others = {one.content: one for one in added if not one.special}
        if found := [others[name] for name in names if name in others]:
            self._tokenizer.add_special_tokens(found)

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)


def _added(tokenizer: Tokenizer) -> list[AddedToken]:
    added = tokenizer.get_added_tokens_decoder().values()
    return [AddedToken(one.content, one.special, one.lstrip, one.rstrip) for one in added]


def _longest_token(tokenizer: Tokenizer) -> int | None:
    """The most characters that one token covers; None if there is no such bound.

    There is a bound if every byte of a text becomes part of a token: byte-level BPE without a
    normalizer. The name of a token then has a character for each byte.
    """
    if tokenizer.pre_tokenizer is None or not isinstance(tokenizer.model, BPE):
        return None
    splitter = tokenizer.pre_tokenizer.__getstate__()
    names = tokenizer.get_vocab(with_added_tokens=True)
    added = tokenizer.get_added_tokens_decoder().values()
    if (
        tokenizer.normalizer is not None
        or tokenizer.model.unk_token is not None
        or b'"ByteLevel"' not in splitter
        or b'"Removed"' in splitter
        or not names.keys() >= set(ByteLevel.alphabet())
        or any(token.lstrip or token.rstrip for token in added)
    ):
        return None
    return max(map(len, names))


def _characters(prompt: Prompt) -> int:
    return sum(len(run) for run in prompt.runs if isinstance(run, str))


def _printable(text: str) -> str:
    """The text without lone surrogates, which cannot be encoded in UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
