"""The micro-batcher: when is a batch of prompts handed to the engine?

Pure: it never waits and has no clock; its caller passes the time (monotonic seconds) and asks when
the next batch falls due. A micro-batch is a unit of admission, not a barrier: the engine batches
continuously whatever is in it.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from worker.domain.batches import CloseReason

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """When a batch closes; whichever bound is met first.

    Attributes:
        max_records: prompts in a batch.
        max_tokens: prompt tokens in a batch; a single longer prompt is a batch.
        linger_seconds: how long the first prompt waits for more while the engine has others to
            complete; 0 closes at once.
    """

    max_records: int = 64
    max_tokens: int = 65_536
    linger_seconds: float = 0.02

    def __post_init__(self) -> None:
        if self.max_records < 1 or self.max_tokens < 1 or self.linger_seconds < 0:
            raise ValueError("a batch needs room for one record, one token and no negative wait")


@dataclass(frozen=True, slots=True)
class MicroBatch(Generic[T]):
    """A closed batch, in the order its items were added."""

    items: tuple[T, ...]
    tokens: int
    reason: CloseReason
    opened_at: float


class MicroBatcher(Generic[T]):
    """Gathers items until its policy closes them into a `MicroBatch`."""

    def __init__(self, policy: BatchPolicy) -> None:
        self._policy = policy
        self._items: list[T] = []
        self._tokens = 0
        self._opened_at = 0.0

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T, tokens: int, now: float) -> list[MicroBatch[T]]:
        """Add an item of `tokens` prompt tokens; the batches that this closed: none, one or two.

        An item that would overflow the token bound closes what was gathered before it.
        """
        closed = []
        if self._items and self._tokens + tokens > self._policy.max_tokens:
            closed.append(self._close(CloseReason.TOKENS))
        if not self._items:
            self._opened_at = now
        self._items.append(item)
        self._tokens += tokens
        if self._tokens >= self._policy.max_tokens:
            closed.append(self._close(CloseReason.TOKENS))
        elif len(self._items) >= self._policy.max_records:
            closed.append(self._close(CloseReason.RECORDS))
        elif self._policy.linger_seconds == 0:
            closed.append(self._close(CloseReason.LINGER))
        return closed

    def due_at(self) -> float | None:
        """When the gathered items will have lingered long enough; None while there are none."""
        return self._opened_at + self._policy.linger_seconds if self._items else None

    def poll(self, now: float) -> MicroBatch[T] | None:
        """The gathered items, if they have lingered long enough by `now`."""
        due = self.due_at()
        return self._close(CloseReason.LINGER) if due is not None and now >= due else None

    def poll_idle(self) -> MicroBatch[T] | None:
        """The gathered items, for an engine that has nothing to do: waiting would gain nothing."""
        return self._close(CloseReason.IDLE) if self._items else None

    def _close(self, reason: CloseReason) -> MicroBatch[T]:
        batch = MicroBatch(tuple(self._items), self._tokens, reason, self._opened_at)
        self._items = []
        self._tokens = 0
        return batch
