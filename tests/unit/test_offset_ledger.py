from hypothesis import given
from hypothesis import strategies as st

from worker.delivery.offset_ledger import OffsetLedger
from worker.domain.records import Partition

P = Partition("t", 0)


@given(st.data())
def test_what_is_committable_is_the_end_of_the_contiguous_resolved_prefix(data):
    offsets = sorted(data.draw(st.sets(st.integers(0, 200), min_size=1, max_size=40)))
    resolved = data.draw(st.permutations(offsets).map(lambda o: o[: data.draw(st.integers(0, 40))]))
    ledger = OffsetLedger()
    ledger.assign(P, 1)
    assert all(ledger.receive(P, 1, offset) for offset in offsets)
    for offset in resolved:
        assert ledger.resolve(P, 1, offset)
    prefix = []
    for offset in offsets:
        if offset not in resolved:
            break
        prefix.append(offset)
    assert ledger.committable() == ({P: prefix[-1] + 1} if prefix else {})
    assert ledger.unresolved() == len(offsets) - len(resolved)


def test_an_outcome_of_an_earlier_epoch_moves_nothing():
    ledger = OffsetLedger()
    ledger.assign(P, 1)
    ledger.receive(P, 1, 5)
    ledger.assign(P, 2)
    ledger.receive(P, 2, 5)
    assert not ledger.resolve(P, 1, 5)
    assert ledger.committable() == {}


def test_an_offset_is_received_and_resolved_once():
    ledger = OffsetLedger()
    ledger.assign(P, 1)
    assert ledger.receive(P, 1, 5)
    assert not ledger.receive(P, 1, 5)
    assert ledger.resolve(P, 1, 5)
    assert not ledger.resolve(P, 1, 5)
    assert not ledger.receive(P, 1, 5)


def test_the_position_counts_only_when_nothing_is_unresolved():
    ledger = OffsetLedger()
    ledger.assign(P, 1)
    ledger.receive(P, 1, 5)
    ledger.advance(P, 1, 9)
    assert ledger.committable() == {}
    ledger.resolve(P, 1, 5)
    ledger.advance(P, 1, 9)
    assert ledger.committable() == {P: 9}
    ledger.note_commit({P: 9}, {P: 1})
    assert ledger.committable() == {}
