"""Makes aiokafka's consumer read on past records that it cannot read.

A header name that is not UTF-8, or a compressed batch that cannot be unpacked, makes aiokafka 0.14
raise out of every `getmany`: the records behind in the batch, and those that the same call had
already taken from other partitions, would never be seen. Here such a batch is read a second time,
field by field, and what still cannot be read becomes a record that is marked so. So does every
record of a batch that would unpack to more than `unpacking` allows. A batch of the message formats
before Kafka 0.11 does not count its records: one record represents all of them.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

from worker.adapters.kafka.unpacking import (
    MAX_BYTES,
    BatchTooLarge,
    check_old_set,
    unpack_batch,
)

_LENGTH_AT, _LENGTH_ENDS = 8, 12
_MAGIC_AT, _LEGACY_ATTRIBUTES_AT = 16, 17
_CODECS, _LZ4 = 0b111, 3
_NO_TIME = -1


def unreadable(theirs: Any) -> str | None:
    """Why this record, as a consumer returned it, could not be decoded completely, or None."""
    # the one field that aiokafka hands through and that the present format leaves empty
    return theirs.checksum if isinstance(theirs.checksum, str) else None


@dataclass(frozen=True, slots=True)
class LenientRecord:
    """A record as aiokafka's own are; `checksum` holds why it could not be read, if so."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    checksum: str | None


class LenientRecords(MemoryRecords):  # type: ignore[misc]
    """The batches of a fetch response."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._data = memoryview(data)
        self._at = 0

    def next_batch(self) -> Any:
        """The next batch; of the present format, one whose records can all be iterated."""
        batch = super().next_batch()
        length = int.from_bytes(self._data[self._at + _LENGTH_AT : self._at + _LENGTH_ENDS])
        end = self._at + _LENGTH_ENDS + length
        raw, self._at = self._data[self._at : end], end
        if isinstance(batch, LegacyRecordBatch):
            return _LenientLegacyBatch(batch, raw)
        if isinstance(batch, DefaultRecordBatch) and not batch.is_control_batch:
            return _LenientBatch(batch, raw)
        return batch


class _LenientLegacyBatch:
    """A message of format 0 or 1, or a set of them that was compressed."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw
        # format 0 wrote LZ4 frames with a wrong checksum (KAFKA-3160), which aiokafka does not read
        self._is_old_lz4 = raw[_MAGIC_AT] == 0 and raw[_LEGACY_ATTRIBUTES_AT] & _CODECS == _LZ4

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        reached = None
        try:
            check_old_set(self._raw)
            for record in self._batch:
                reached = record.offset + 1
                yield record if record.timestamp is not None else _undated(record)
        except UnsupportedCodecError as error:
            if not self._is_old_lz4:
                raise  # the installation's fault: every record is fine
            reason = _cannot_be_read(error)
        except BatchTooLarge:
            reason = _too_large()
        except Exception as error:  # noqa: BLE001 - decompressors raise any kind
            reason = _cannot_be_read(error)
        else:
            return
        end = self._batch.next_offset
        for offset in range(end - 1 if reached is None else reached, end):
            yield LenientRecord(offset, _NO_TIME, 0, None, b"", [], reason)


def _undated(record: Any) -> LenientRecord:
    """A record of format 0: newer ones that have no time have -1."""
    return LenientRecord(record.offset, _NO_TIME, 0, record.key, record.value, [], None)


class _LenientBatch:
    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw
        self._reached = batch.base_offset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        reason = yield from self._read()
        if reason is None:
            return
        for offset in range(self._reached, self._batch.next_offset):
            yield LenientRecord(
                offset, self._batch.max_timestamp, self._batch.timestamp_type, None, b"", [], reason
            )

    def _read(self) -> Generator[Any, None, str | None]:
        """What can be read; returns why the rest cannot, if there is some."""
        try:
            plain = unpack_batch(self._raw)
        except UnsupportedCodecError:
            raise  # the installation's fault: every record is fine
        except BatchTooLarge:
            return _too_large()
        except Exception as error:  # noqa: BLE001 - decompressors raise any kind
            return _cannot_be_read(error)
        try:
            yield from self._onwards(DefaultRecordBatch(plain))
        except Exception:  # noqa: BLE001 - so do readers
            try:
                yield from self._onwards(self._read_fields(plain))
            except Exception as error:  # noqa: BLE001
                return _cannot_be_read(error)
        return None

    def _onwards(self, records: Iterable[Any]) -> Iterator[Any]:
        for record in records:
            if record.offset >= self._reached:
                self._reached = record.offset + 1
                yield record

    def _read_fields(self, plain: memoryview) -> Iterator[LenientRecord]:
        batch, opened = self._batch, _DefaultRecordBatchPy(plain)
        fields = _Fields(opened._buffer, opened._pos)  # noqa: SLF001
        for _ in range(opened._num_records):  # noqa: SLF001
            end = fields.varint() + fields.at
            fields.at += 1  # attributes, of which none is in use
            timestamp = batch.first_timestamp + fields.varint()
            if batch.timestamp_type == opened.LOG_APPEND_TIME:
                timestamp = batch.max_timestamp
            offset = batch.base_offset + fields.varint()
            key, value = fields.nullable(), fields.nullable()
            headers, reason = [], None
            for _ in range(fields.varint()):
                name = fields.nullable() or b""
                try:
                    text = name.decode()
                except UnicodeDecodeError:
                    text = name.decode(errors="backslashreplace")
                    reason = "A header's name is not UTF-8; it is escaped here."
                headers.append((text, fields.nullable()))
            if fields.at != end:
                raise ValueError
            yield LenientRecord(
                offset, timestamp, batch.timestamp_type, key, value, headers, reason
            )


def _too_large() -> str:
    return f"The record's batch unpacks to more than {MAX_BYTES >> 20} MiB."


def _cannot_be_read(error: Exception) -> str:
    return f"The record cannot be read, nor the rest of its batch ({type(error).__name__})."


@dataclass(slots=True)
class _Fields:
    """Reads one field after the other."""

    buffer: bytearray
    at: int

    def varint(self) -> int:
        value, self.at = decode_varint(self.buffer, self.at)
        return int(value)

    def nullable(self) -> bytes | None:
        length = self.varint()
        if length < 0:
            return None
        start, self.at = self.at, self.at + length
        if self.at > len(self.buffer):
            raise ValueError
        return bytes(self.buffer[start : self.at])
