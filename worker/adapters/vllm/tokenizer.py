"""Prompts to token ids, with a Hugging Face `tokenizer.json`.

Text is encoded with special tokens disabled: `<|eot_id|>` in untrusted text stays text. So does
`<think>`, which no tokenizer calls special, where the model's chat template or a prompt has it as a
token. An opening that all prompts share is encoded once, as far as the text after it cannot change
its tokens.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer
from typing_extensions import override

from worker.adapters.chat_files import control_tokens, read_chat_files
from worker.adapters.model_files import model_file, unavailable
from worker.adapters.vllm.vocabulary import added_tokens, longest_token
from worker.adapters.vllm.word_marks import Marks, unmarked
from worker.domain.engines import Tokenizer as TokenizerPort
from worker.domain.errors import EngineUnavailable
from worker.domain.prompts import Control, Place, Prompt

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
    """Encodes prompts with the library `tokenizers`.

    Args:
        tokenizer: which is changed: special tokens in texts are not recognised.
        model: for messages.
        adds_controls: whether a control token that the model lacks is added, since no model reads
            it: for the simulated engine.
    """

    def __init__(self, tokenizer: Tokenizer, model: str, *, adds_controls: bool = False) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self._model = model
        self._adds_controls = adds_controls
        self._unmarked, self._marks = unmarked(tokenizer)
        self._longest = longest_token(tokenizer)
        self._before = self.ids("\n", Place.TEXT) if self._marks is not Marks.NOWHERE else []
        self._before_text = self._tokenizer.decode(self._before)
        self._openings: dict[str, _Opening] = {}
        self._controls: dict[str, int] = {}

    @classmethod
    def load(
        cls, model: str, revision: str | None = None, *, adds_controls: bool = False
    ) -> "JsonTokenizer":
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
        loaded = cls(tokenizer, model, adds_controls=adds_controls)
        loaded._keep_out_of_text(
            token.name for token in control_tokens(added_tokens(tokenizer), source)
        )
        return loaded

    @override
    def token_id(self, name: str) -> int:
        found = self._controls.get(name)
        if found is None:
            token_id = self._tokenizer.token_to_id(name)
            if token_id is None and self._adds_controls:
                for one in {id(t): t for t in (self._tokenizer, self._unmarked)}.values():
                    one.add_special_tokens([name])
                token_id = self._tokenizer.token_to_id(name)
            if token_id is None:
                raise EngineUnavailable(
                    f"The model {self._model} has no token {name}, which this guard's prompt needs;"
                    " check guard.name and engine.model."
                )
            self._keep_out_of_text([name])
            found = self._controls[name] = int(token_id)
        return found

    def label_tokens(
        self, labels: Sequence[str], place: Place = Place.TEXT
    ) -> tuple[int, dict[str, int]]:
        """The first position at which the tokens of labels differ, and the token of each there.

        Args:
            labels: as they are written.
            place: what comes before them.

        Raises:
            EngineUnavailable: two labels do not differ within the shorter one.
        """
        encoded = {label: self.ids(label, place) for label in labels}
        shortest = min(map(len, encoded.values()))
        for position in range(shortest):
            tokens = {label: ids[position] for label, ids in encoded.items()}
            if len(set(tokens.values())) == len(labels):
                return position, tokens
            if len(set(tokens.values())) > 1:
                break
        raise EngineUnavailable(
            f"The tokenizer of {self._model} does not distinguish the labels {', '.join(labels)} by"
            " one token, so they have no scores; use another guard.name or engine.model."
        )

    def ids(self, text: str, place: Place = Place.START) -> list[int]:
        """The tokens of a text, none of them special."""
        tokenizer = self._at(place)
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, token_ids: Sequence[int]) -> str:
        """The text of tokens that follow others, without control tokens."""
        whole = self._tokenizer.decode([*self._before, *token_ids])
        # a decoder removes the space at the beginning of its text
        return whole[len(self._before_text) :]

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
            (
                _printable(run.removeprefix(opening.text) if self._marked(place) else run),
                place,
            )
            for prompt, opening, short in zip(prompts, openings, fits, strict=True)
            if short
            for run, place in _placed(prompt)
            if isinstance(run, str)
        ]
        # first: what a prompt names as a control token is kept out of texts
        controls = {
            run.name: self.token_id(run.name)
            for prompt in prompts
            for run in prompt.runs
            if isinstance(run, Control)
        }
        encoded = iter(self._encode_texts(texts))
        result: list[list[int] | None] = []
        for prompt, opening, short in zip(prompts, openings, fits, strict=True):
            if not short:
                result.append(None)
                continue
            ids: list[int] = []
            for run, place in _placed(prompt):
                if isinstance(run, Control):
                    ids.append(controls[run.name])
                    continue
                if opening.text and self._marked(place) and run.startswith(opening.text):
                    ids.extend(opening.ids)
                ids.extend(next(encoded))
            result.append(ids if len(ids) <= limit else None)
        return result

    def _encode_texts(self, texts: Sequence[tuple[str, Place]]) -> list[list[int]]:
        """The tokens of each text, in one batch for each of the tokenizers that are needed."""
        found: list[list[int]] = [[] for _ in texts]
        for tokenizer, marked in ((self._tokenizer, True), (self._unmarked, False)):
            chosen = [n for n, (_, place) in enumerate(texts) if self._marked(place) == marked]
            batch = [texts[n][0] for n in chosen]
            encoded = tokenizer.encode_batch_fast(batch, add_special_tokens=False) if batch else []
            for n, one in zip(chosen, encoded, strict=True):
                found[n] = one.ids
        return found

    def _marked(self, place: Place) -> bool:
        """Whether the tokenizer itself reads a text at such a place; else the unmarked one."""
        if self._marks is Marks.NOWHERE or place is Place.START:
            return True
        return place is Place.CONTROL and self._marks is Marks.AFTER_CONTROL_TOO

    def _at(self, place: Place) -> Tokenizer:
        return self._tokenizer if self._marked(place) else self._unmarked

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
        fixed = _Opening(text[:cut], self.ids(text[:cut]))
        for more in _CONTINUATIONS:
            if fixed.ids + self.ids(text[cut:] + more) != self.ids(text + more):
                return nothing
        return fixed

    def _keep_out_of_text(self, names: Iterable[str]) -> None:
        """Make added tokens special: the library finds those that are not in any text."""
        added = self._tokenizer.get_added_tokens_decoder().values()
        others = {one.content: one for one in added if not one.special}
        if found := [others[name] for name in names if name in others]:
            self._tokenizer.add_special_tokens(found)
            if self._unmarked is not self._tokenizer:
                self._unmarked.add_special_tokens(found)


def _placed(prompt: Prompt) -> Iterator[tuple[str | Control, Place]]:
    """The runs, and what comes before each.

    The token at the beginning that the tokenizer itself adds comes before the start of the text.
    """
    place = prompt.place
    for run in prompt.runs:
        yield run, place
        if isinstance(run, str):
            place = Place.TEXT
        elif run.shown:
            place = Place.CONTROL


def _characters(prompt: Prompt) -> int:
    return sum(len(run) for run in prompt.runs if isinstance(run, str))


def _printable(text: str) -> str:
    """The text without lone surrogates, which cannot be encoded in UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
