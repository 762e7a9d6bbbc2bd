"""Compressed batches: what is read is what was written, and none unpacks beyond the bound."""

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from worker.adapters.kafka import lenient_records, unpacking
from worker.adapters.kafka.lenient_records import LenientRecords, unreadable

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
every_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=list(CODECS))


def batch(values, codec, *, headers=()):
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 31,
    )
    for number, value in enumerate(values):
        builder.append(number, timestamp=1000 + number, key=b"k", value=value, headers=[*headers])
    return bytes(builder.build())


def read(data):
    records, found = LenientRecords(data), []
    while records.has_next():
        found += records.next_batch()
    return found


@every_codec
@given(values=st.lists(st.binary(max_size=200), min_size=1, max_size=20))
def test_what_is_read_is_what_was_written(codec, values):
    found = read(batch(values, codec, headers=[("h", b"v")]))
    assert [r.value for r in found] == values
    assert [(r.offset, r.timestamp, r.key) for r in found] == [
        (number, 1000 + number, b"k") for number in range(len(values))
    ]
    assert all(list(r.headers) == [("h", b"v")] for r in found)
    assert not any(map(unreadable, found))


@pytest.mark.parametrize("codec", [c for c in CODECS.values() if c], ids=[*CODECS][1:])
def test_a_batch_that_would_unpack_beyond_the_bound_is_told_record_by_record(codec, monkeypatch):
    monkeypatch.setattr(unpacking, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(lenient_records, "MAX_BYTES", 1 << 20)
    bomb = batch([b"\0" * (3 << 19), b"innocent"], codec)
    good = batch([b"x" * ((1 << 20) - 1000)], codec)
    found = read(bomb + good)
    assert [unreadable(r) for r in found] == [
        *["The record's batch unpacks to more than 1 MiB."] * 2,
        None,
    ]
    assert [r.offset for r in found] == [0, 1, 0]
    assert found[2].value == b"x" * ((1 << 20) - 1000)


@every_codec
def test_a_batch_that_is_cut_loses_only_itself(codec):
    whole = batch([b"some value that is here", b"another"], codec)
    cut = bytearray(whole[:-3])
    cut[8:12] = (len(cut) - 12).to_bytes(4)
    found = read(bytes(cut) + whole)
    assert [unreadable(r) is None for r in found][-2:] == [True, True]
    assert len(found) == 4
