"""The context of an exchange: earlier exchanges of its conversation.

Only exchanges with text on both sides become context, so that the turns of user and assistant
alternate, as chat templates want it.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from worker.domain.errors import NotAnEvent
from worker.domain.events import CONTEXT_TRUNCATED, Exchange, NoRequest, Turn

# the request and the answer of an earlier exchange
Pair = tuple[Turn, Turn]


def with_contexts(
    found: Sequence[Exchange | NoRequest | NotAnEvent], most: int
) -> list[Exchange | NoRequest | NotAnEvent]:
    """All exchanges, each with at most `most` of those before it as its context."""
    # the turns are shared, so that a long conversation takes no more memory than its texts
    pairs: deque[Pair] = deque(maxlen=most)
    made: list[Exchange | NoRequest | NotAnEvent] = []
    for number, one in enumerate(found):
        if isinstance(one, NotAnEvent):
            # what is before it is not context of what is after it
            pairs.clear()
            made.append(one)
            continue
        if isinstance(one, Exchange):
            made.append(in_context(one, pairs, all_are_there=number == len(pairs)))
        else:
            made.append(one)
        pair = pair_of(one)
        if pair is not None:
            pairs.append(pair)
    return made


def pair_of(earlier: Exchange | NoRequest) -> Pair | None:
    """The two turns of an earlier exchange; None where one of them has no text."""
    if not isinstance(earlier, Exchange) or earlier.response is None:
        return None
    return Turn("user", earlier.prompt), Turn("assistant", earlier.response)


def in_context(exchange: Exchange, pairs: Iterable[Pair], *, all_are_there: bool) -> Exchange:
    """An exchange with its context, flagged where earlier exchanges are missing in it."""
    flags = exchange.flags if all_are_there else (*exchange.flags, CONTEXT_TRUNCATED)
    return replace(exchange, flags=flags, context=tuple(turn for pair in pairs for turn in pair))
