"""Unpacks a compressed batch of records, up to a bound.

A batch of a hundred kilobytes can unpack to gigabytes, and aiokafka 0.14 unpacks whatever comes,
three times over. Here nothing larger than the bound is ever made.
"""

import mmap
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import cramjam
from aiokafka.record.default_records import _DefaultRecordBatchPy

# a producer's batches are some megabytes at most before they are packed, whatever the codec
MAX_BYTES = 64 << 20

_LENGTH_AT, _ATTRIBUTES_AT, _RECORDS_AT = 8, 21, 61
_MAGIC_AT, _OLD_ATTRIBUTES_AT, _OLD_KEY_AT, _OLD_TIME_BYTES = 16, 17, 18, 8
_CODEC_BITS = 0b111
_SLICE_BYTES = 4096
_GZIP, _SNAPPY, _LZ4, _ZSTD = 1, 2, 3, 4
# what the Java library writes before snappy's blocks: a mark, then two versions
_XERIAL_MARK, _XERIAL_ENDS = b"\x82SNAPPY\0", 16


class BatchTooLarge(Exception):  # noqa: N818 - what it is
    """The batch unpacks to more than the bound."""


def unpack_batch(raw: memoryview) -> memoryview:
    """The same batch with its records unpacked; itself if they are not packed.

    The checksum stays that of the packed one.

    Raises:
        BatchTooLarge: it would exceed the bound.
    """
    (attributes,) = struct.unpack_from(">h", raw, _ATTRIBUTES_AT)
    codec = attributes & _CODEC_BITS
    if not codec:
        return raw
    _DefaultRecordBatchPy(raw)._assert_has_codec(codec)  # noqa: SLF001
    packed = raw[_RECORDS_AT:]
    records = _unzip(packed, MAX_BYTES) if codec == _GZIP else _expand(codec, packed, MAX_BYTES)
    batch = bytearray(raw[:_RECORDS_AT])
    batch += records
    struct.pack_into(">h", batch, _ATTRIBUTES_AT, attributes & ~_CODEC_BITS)
    struct.pack_into(">i", batch, _LENGTH_AT, len(batch) - _LENGTH_AT - 4)
    return memoryview(batch)


def check_old_set(raw: memoryview) -> None:
    """See that a message of format 0 or 1, which may hold a compressed set, is not too large.

    Raises:
        BatchTooLarge: unpacked, the set would exceed the bound.
    """
    codec = raw[_OLD_ATTRIBUTES_AT] & _CODEC_BITS
    if not codec:
        return
    at = _OLD_KEY_AT + (_OLD_TIME_BYTES if raw[_MAGIC_AT] else 0)
    (key_bytes,) = struct.unpack_from(">i", raw, at)
    packed = raw[at + 4 + max(key_bytes, 0) + 4 :]
    if codec == _GZIP:
        _unzip(packed, MAX_BYTES)
    else:
        _expand(codec, packed, MAX_BYTES)


def _unzip(packed: memoryview, bound: int) -> bytearray:
    """The members of a gzip stream, in time that grows with their sizes and not their number."""
    found = bytearray()
    stream, at, is_whole = zlib.decompressobj(wbits=31), 0, True
    while at < len(packed):
        # what a member leaves of the slice is copied: it is a small slice
        slice_ = packed[at : at + _SLICE_BYTES]
        found += stream.decompress(slice_, bound + 1 - len(found))
        if len(found) > bound:
            raise BatchTooLarge
        at += len(slice_) - len(stream.unused_data) - len(stream.unconsumed_tail)
        is_whole = stream.eof
        if is_whole:
            stream = zlib.decompressobj(wbits=31)
    if not is_whole:
        raise EOFError
    return found


def _expand(codec: int, packed: memoryview, bound: int) -> bytes:
    room = _room(bound)
    if codec == _SNAPPY:
        made = 0
        for block in _snappy_blocks(packed):
            size = cramjam.snappy.decompress_raw_len(block)
            if made + size > bound:
                raise BatchTooLarge
            cramjam.snappy.decompress_raw_into(block, memoryview(room)[made : made + size])
            made += size
        return room[:made]
    expand: Any = {_LZ4: cramjam.lz4, _ZSTD: cramjam.zstd}[codec].decompress_into
    made = _write(expand, bytes(packed), room)
    if made > bound:
        raise BatchTooLarge
    return room[:made]


def _write(expand: Any, packed: bytes, room: mmap.mmap) -> int:
    try:
        return int(expand(packed, room))
    except cramjam.DecompressionError as error:
        if "whole buffer" in str(error):
            raise BatchTooLarge from error
        raise


@cache
def _room(bound: int) -> mmap.mmap:
    """Where batches are unpacked to: memory that is taken only as far as it was ever written."""
    return mmap.mmap(-1, bound + 1)


def _snappy_blocks(packed: memoryview) -> Iterator[bytes]:
    if bytes(packed[: len(_XERIAL_MARK)]) != _XERIAL_MARK:
        yield bytes(packed)
        return
    at = _XERIAL_ENDS
    while at < len(packed):
        (size,) = struct.unpack_from(">i", packed, at)
        yield bytes(packed[at + 4 : at + 4 + size])
        at += 4 + size
