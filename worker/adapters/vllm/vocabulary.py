"""What the vocabulary of a tokenizer says."""

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from worker.adapters.chat_files import AddedToken


def added_tokens(tokenizer: Tokenizer) -> list[AddedToken]:
    """The tokens that were added to the vocabulary."""
    added = tokenizer.get_added_tokens_decoder().values()
    return [AddedToken(one.content, one.special, one.lstrip, one.rstrip) for one in added]


def longest_token(tokenizer: Tokenizer) -> int | None:
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
