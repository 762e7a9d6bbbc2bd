"""Compressed batches: what is read is what was written, and none unpacks beyond the bound."""

import gzip
import struct
import time
import zlib

import cramjam
import pytest
from aiokafka.errors import UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from worker.adapters.kafka import lenient_records, unpacking
from worker.adapters.kafka.lenient_records import LenientRecords, unreadable

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
GZIP, SNAPPY, LZ4 = 1, 2, 3
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


LEGACY = [0, 1]  # message formats before Kafka 0.11


def legacy(magic, codec, value, *, offset, key=b"k", damaged=False):
    """A message set as a producer of old wrote it: one message, or a compressed set in one."""
    attributes = struct.pack(">b", codec)
    times = struct.pack(">q", 1000) if magic else b""
    body = struct.pack(">i", len(key)) + key + struct.pack(">i", len(value)) + value
    message = struct.pack(">b", magic) + attributes + times + body
    checksum = zlib.crc32(message) ^ damaged
    message = struct.pack(">I", checksum) + message
    return struct.pack(">qi", offset, len(message)) + message


def legacy_set(magic, codec, values, *, offset):
    """Values in one compressed message, the last of which is at `offset`."""
    first = 0 if magic else offset - len(values) + 1
    inner = b"".join(legacy(magic, 0, v, offset=first + n) for n, v in enumerate(values))
    packed = {GZIP: gzip.compress, LZ4: lambda data: bytes(cramjam.lz4.compress(data))}
    return legacy(magic, codec, packed[codec](inner), offset=offset)


@pytest.mark.parametrize("magic", LEGACY)
def test_old_formats_are_read(magic):
    data = legacy(magic, 0, b"a", offset=0) + legacy_set(magic, GZIP, [b"b", b"c"], offset=2)
    found = read(data)
    assert [(r.offset, r.value, unreadable(r)) for r in found] == [
        (0, b"a", None),
        (1, b"b", None),
        (2, b"c", None),
    ]
    assert {r.timestamp for r in found} == {1000 if magic else -1}


def test_lz4_of_format_0_is_one_record_that_says_so_and_what_follows_is_read():
    found = read(legacy_set(0, LZ4, [b"a", b"b"], offset=1) + legacy(0, 0, b"c", offset=2))
    assert [(r.offset, r.value) for r in found] == [(1, b""), (2, b"c")]
    assert "cannot be read" in unreadable(found[0])
    assert unreadable(found[1]) is None


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4])
def test_an_old_set_that_is_damaged_is_one_record_that_says_so(codec):
    found = read(legacy(1, codec, b"no such frame", offset=7) + legacy(1, 0, b"c", offset=8))
    assert [(r.offset, r.value) for r in found] == [(7, b""), (8, b"c")]
    assert "cannot be read" in unreadable(found[0])


@pytest.mark.parametrize("magic", LEGACY)
@pytest.mark.parametrize("codec", [GZIP, LZ4])
def test_an_old_set_that_would_unpack_beyond_the_bound_is_one_record_that_says_so(
    magic, codec, monkeypatch
):
    monkeypatch.setattr(unpacking, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(lenient_records, "MAX_BYTES", 1 << 20)
    bomb = legacy_set(magic, codec, [b"innocent", b"\0" * (3 << 19)], offset=7)
    found = read(bomb + legacy(magic, 0, b"c", offset=8))
    assert [(r.offset, r.value) for r in found] == [(7, b""), (8, b"c")]
    assert "unpacks to more than 1 MiB" in unreadable(found[0])


def test_an_old_set_is_read_up_to_its_damage():
    inner = legacy(0, 0, b"a", offset=3) + legacy(0, GZIP, b"set in a set", offset=4)
    found = read(legacy(0, GZIP, gzip.compress(inner), offset=5))
    assert [r.offset for r in found] == [3, 4, 5]
    assert found[0].value == b"a"
    assert all(unreadable(r) for r in found[1:])


def test_a_codec_that_is_not_installed_condemns_no_record(monkeypatch):
    monkeypatch.setattr("aiokafka.codec.has_gzip", lambda: False)
    with pytest.raises(UnsupportedCodecError):
        read(legacy_set(1, GZIP, [b"a"], offset=0))


def test_many_members_of_a_gzip_stream_take_no_longer_than_their_bytes():
    """Each member used to cost a copy of all before it and of all behind it."""
    few = b"".join(gzip.compress(b"x" * 50_000) for _ in range(20))
    many = gzip.compress(b"\0" * (8 << 20)) + gzip.compress(b"x") * 20_000

    def seconds(packed):
        began = time.process_time()
        unpacking._unzip(memoryview(packed), 64 << 20)
        return time.process_time() - began

    assert bytes(unpacking._unzip(memoryview(few), 64 << 20)) == b"x" * 1_000_000
    # 20,000 copies of eight megabytes would take a minute
    assert seconds(many) < 5


def test_a_gzip_stream_that_is_cut_is_no_stream():
    whole = gzip.compress(b"a" * 100_000) + gzip.compress(b"b")
    for end in (len(whole) - 1, 30, 5):
        with pytest.raises(EOFError):
            unpacking._unzip(memoryview(whole[:end]), 1 << 20)
