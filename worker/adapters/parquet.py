"""Parquet files, by pyarrow, which only the extra `evaluate` installs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worker.domain.errors import UnusableFile

# without a buffer, the columns of a row group are read completely
_READ_BYTES = 1 << 20


def import_parquet() -> Any:
    """The module that reads and writes Parquet.

    Raises:
        UnusableFile: it is not installed.
    """
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an extra: only this format needs it
    except ImportError:
        raise UnusableFile("Parquet needs pyarrow: pip install 'guardstream[evaluate]'.") from None
    return parquet


@contextmanager
def open_parquet(path: Path) -> Iterator[Any]:
    """A file's `pyarrow.parquet.ParquetFile`, whose row groups are read in parts.

    Raises:
        UnusableFile: pyarrow is not installed, or the file is not one of Parquet; also from
            within the context, where damage is met later.
    """
    parquet = import_parquet()
    from pyarrow import ArrowException  # noqa: PLC0415 - an extra

    try:
        with parquet.ParquetFile(path, buffer_size=_READ_BYTES) as file:
            yield file
    except ArrowException:
        raise UnusableFile(f"{path} is not a Parquet file, or is damaged.") from None
