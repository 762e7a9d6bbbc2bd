import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.batches import CloseReason
from worker.flow.batching import BatchPolicy, MicroBatcher


@given(
    st.lists(st.integers(1, 50), max_size=60),
    st.integers(1, 8),
    st.integers(1, 60),
    st.sampled_from([0.0, 1.0]),
)
def test_nothing_is_lost_reordered_or_beyond_bounds(sizes, max_records, max_tokens, linger):
    batcher = MicroBatcher(BatchPolicy(max_records, max_tokens, linger))
    batches = [
        batch for at, size in enumerate(sizes) for batch in batcher.add((at, size), size, 0.0)
    ]
    if last := batcher.poll(math.inf):
        batches.append(last)
    assert [item for batch in batches for item in batch.items] == list(enumerate(sizes))
    for batch in batches:
        assert len(batch.items) <= max_records
        assert batch.tokens == sum(size for _, size in batch.items)
        assert batch.tokens <= max_tokens or len(batch.items) == 1
    assert len(batcher) == 0


def test_linger_counts_from_the_first_item():
    batcher = MicroBatcher(BatchPolicy(10, 100, 2.0))
    assert batcher.due_at() is None
    batcher.add("a", 1, 5.0)
    batcher.add("b", 1, 6.5)
    assert batcher.due_at() == 7.0
    assert batcher.poll(6.9) is None
    batch = batcher.poll(7.0)
    assert batch is not None
    assert (batch.items, batch.reason) == (("a", "b"), CloseReason.LINGER)


def test_an_item_that_overflows_closes_what_came_before():
    batcher = MicroBatcher(BatchPolicy(10, 10, 1.0))
    batcher.add("a", 6, 0.0)
    (closed,) = batcher.add("b", 6, 0.0)
    assert (closed.items, closed.reason) == (("a",), CloseReason.TOKENS)
    first, second = batcher.add("c", 99, 0.0)
    assert (first.items, second.items) == (("b",), ("c",))


def test_a_policy_without_room_is_refused():
    with pytest.raises(ValueError, match="room for one record"):
        BatchPolicy(max_records=0)


def test_an_idle_engine_gets_what_there_is():
    batcher = MicroBatcher(BatchPolicy(8, 100, 3600.0))
    assert batcher.poll_idle() is None
    batcher.add("a", 1, 0.0)
    batch = batcher.poll_idle()
    assert (batch.items, batch.reason) == (("a",), CloseReason.IDLE)
    assert not len(batcher)
