"""Which exchanges are judged: those that a filter keeps, and a stable share of conversations."""

from hashlib import blake2b

from worker.decoding.compiled import is_true
from worker.decoding.expressions import Expression, ExpressionFailed
from worker.domain.errors import NotAnEvent, RecordError
from worker.domain.events import Event, Skip
from worker.domain.records import Record

_WHOLE = 1 << 64


class Selection:
    """A filter and a share.

    A conversation is judged completely or not at all, by every replica alike: the share is taken of
    the hashes of conversation ids. Events without one are hashed by their user, then by their own
    id, then by the place of their record.

    Args:
        keep: an expression over the fields of an event.
        share: of conversations, from 0 to 1.
    """

    def __init__(self, keep: Expression | None, share: float) -> None:
        self._keep = keep
        self._below = int(share * _WHOLE)

    def choose(self, found: Event | RecordError, record: Record) -> Event | RecordError | Skip:
        """The event, or why it is not judged; what cannot be read is neither filtered nor drawn."""
        if isinstance(found, RecordError):
            return found
        if self._keep is not None:
            try:
                if not is_true(self._keep.evaluate(found.document())):
                    return Skip.FILTERED
            except ExpressionFailed as error:
                return NotAnEvent(f"input.keep fails on this record ({error}).")
        if self._below < _WHOLE:
            name = found.conversation_id or found.user_id or found.id or str(record)
            digest = blake2b(name.encode("utf-8", "replace"), digest_size=8).digest()
            if int.from_bytes(digest, "big") >= self._below:
                return Skip.NOT_SAMPLED
        return found
