"""Prompts to token ids, with a Hugging Face `tokenizer.json`.

Text is encoded with special tokens disabled: what a person writes as `<|eot_id|>` stays text.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from tokenizers import Tokenizer

from worker.errors import EngineUnavailable
from worker.guards.prompts import Control, Prompt

# no tokenizer makes fewer tokens of text than one for this many characters of it
_MAX_CHARACTERS_PER_TOKEN = 64


class JsonTokenizer:
    """Implements `worker.ports.Tokenizer`."""

    def __init__(self, tokenizer: Tokenizer, model: str) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self._model = model

    @classmethod
    def load(cls, model: str, revision: str | None = None) -> "JsonTokenizer":
        """The tokenizer of a folder or of a Hugging Face name.

        Raises:
            EngineUnavailable: there is no such model, or it cannot be fetched.
        """
        local = Path(model) / "tokenizer.json"
        try:
            path = (
                local
                if Path(model).is_dir()
                else Path(hf_hub_download(model, "tokenizer.json", revision=revision))
            )
            return cls(Tokenizer.from_file(str(path)), model)
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
            raise EngineUnavailable(
                f"The model {model} cannot be had ({type(error).__name__}); look at engine.model,"
                " engine.revision and the way to Hugging Face."
            ) from error
        except Exception as error:  # the library raises bare Exceptions for unreadable files
            raise EngineUnavailable(f"The tokenizer of {model} cannot be read.") from error

    def token_id(self, name: str) -> int:
        """The id of a control token.

        Raises:
            EngineUnavailable: this model has no such token.
        """
        token_id = self._tokenizer.token_to_id(name)
        if token_id is None:
            raise EngineUnavailable(
                f"The model {self._model} has no token {name}, which this guard's prompt needs;"
                " look at guard.name and engine.model."
            )
        return int(token_id)

    async def encode(self, prompts: Sequence[Prompt], limit: int) -> list[list[int] | None]:
        """See `Tokenizer`; in a thread, since the library releases the interpreter's lock."""
        return await asyncio.to_thread(self._encode, prompts, limit)

    def _encode(self, prompts: Sequence[Prompt], limit: int) -> list[list[int] | None]:
        fits = [len(prompt.text) <= limit * _MAX_CHARACTERS_PER_TOKEN for prompt in prompts]
        texts = [
            _printable(run)
            for prompt, short in zip(prompts, fits, strict=True)
            if short
            for run in prompt.runs
            if isinstance(run, str)
        ]
        encoded = iter(self._tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        result: list[list[int] | None] = []
        for prompt, short in zip(prompts, fits, strict=True):
            if not short:
                result.append(None)
                continue
            ids: list[int] = []
            for run in prompt.runs:
                if isinstance(run, Control):
                    ids.append(self.token_id(run.name))
                else:
                    ids.extend(next(encoded).ids)
            result.append(ids if len(ids) <= limit else None)
        return result


def _printable(text: str) -> str:
    """The text without lone surrogates, which have no UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
