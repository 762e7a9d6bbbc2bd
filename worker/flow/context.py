"""How many earlier turns of a conversation go into a prompt: a number of tokens limits them."""

from collections.abc import Sequence

from worker.domain.engines import Tokenizer
from worker.domain.events import Exchange
from worker.domain.prompts import Prompt


class ContextBudget:
    """The tokens that the earlier turns of one exchange can have together.

    Args:
        tokens: the most; a turn is given as a whole or not at all.
        tokenizer: of the model.
    """

    def __init__(self, tokens: int, tokenizer: Tokenizer) -> None:
        self.tokens = tokens
        self._tokenizer = tokenizer

    async def count(self, exchanges: Sequence[Exchange]) -> list[list[int]]:
        """For each exchange, the tokens of its earlier turns, the newest first.

        A turn that exceeds the budget by itself counts as one token more than that.
        """
        # exchanges of one conversation share their turns: each is tokenised once
        turns = {id(turn): turn for exchange in exchanges for turn in exchange.context}
        prompts = [Prompt((turn.text,)) for turn in turns.values()]
        encoded = await self._tokenizer.encode(prompts, self.tokens)
        counts = {
            key: self.tokens + 1 if ids is None else len(ids)
            for key, ids in zip(turns, encoded, strict=True)
        }
        return [[counts[id(turn)] for turn in reversed(one.context)] for one in exchanges]


def turns_within(counts: Sequence[int], tokens: int) -> int:
    """How many of the newest turns have at most so many tokens together."""
    total = 0
    for number, count in enumerate(counts):
        total += count
        if total > tokens:
            return number
    return len(counts)
