"""The files that an evaluation writes: completions as they arrive, results in one piece.

Each completion is a line that is written at once, so that an interrupted run resumes where it
stopped.
"""

import fcntl
import os
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import orjson

from worker.domain.engines import EngineReference
from worker.domain.errors import UnusableFile
from worker.domain.verdicts import GuardReference
from worker.evaluation.answers import StoredCompletion
from worker.evaluation.stored import is_json, read_stored

_CHUNK_BYTES = 1 << 16


class CompletionsFile:
    """A file of completions that one run appends to.

    Attributes:
        stored: the completions of earlier runs.
    """

    def __init__(self, path: Path, file: BinaryIO, guard: GuardReference) -> None:
        self._path = path
        self._file = file
        self.stored = read_stored(path)
        self._require_same(self.stored.guards, guard)
        _repair_last_line(file)

    def require_engine(self, engine: EngineReference) -> None:
        """Refuse another engine than the file's; its version is known once it runs.

        Raises:
            UnusableFile: another engine wrote the file.
        """
        self._require_same(self.stored.engines, engine)

    def _require_same(
        self,
        found: AbstractSet[GuardReference | EngineReference | None],
        ours: GuardReference | EngineReference,
    ) -> None:
        if found - {ours}:
            raise UnusableFile(
                f"{self._path} holds completions of another guard, model or engine; name another"
                " file."
            )

    def append(self, completion: StoredCompletion) -> None:
        """Add a completion, which survives a crash of this process.

        Raises:
            UnusableFile: it cannot be written.
        """
        line = orjson.dumps(completion, option=orjson.OPT_APPEND_NEWLINE)
        try:
            while line:
                # a disk that is nearly full takes a part
                line = line[self._file.write(line) :]
        except OSError as error:
            raise _refusal(self._path, error) from None


@contextmanager
def completions_file(path: Path, guard: GuardReference) -> Iterator[CompletionsFile]:
    """The file that a run appends its completions to, locked for one run at a time.

    Raises:
        UnusableFile: it cannot be written, another run writes it, or another guard wrote it.
    """
    try:
        # unbuffered: a crash loses nothing, and a full disk is reported at once
        file = path.open("ab+", buffering=0)
    except OSError as error:
        raise _refusal(path, error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            kept = CompletionsFile(path, file, guard)
        except BlockingIOError:
            raise UnusableFile(f"{path} is being written by another run.") from None
        except OSError as error:
            raise _refusal(path, error) from None
        yield kept


def _repair_last_line(file: BinaryIO) -> None:
    """Remove an incomplete last line; add the newline to a complete one."""
    size = start = file.seek(0, os.SEEK_END)
    tail = b""
    while start and b"\n" not in tail:
        start = max(0, start - _CHUNK_BYTES)
        file.seek(start)
        tail = file.read(size - start)
    last = tail.rpartition(b"\n")[2]
    if last and is_json(last):
        file.write(b"\n")
    elif last:
        file.truncate(size - len(last))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically.

    Raises:
        UnusableFile: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise _refusal(path, error) from None


def require_writable(path: Path) -> None:
    """Refuse a path that cannot be written, before the long work.

    Raises:
        UnusableFile: it cannot be written.
    """
    unfit = path.exists() and not path.is_file()
    if unfit or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UnusableFile(
            f"{path} cannot be written: name a file in an existing, writable folder."
        )


def _refusal(path: Path, error: OSError) -> UnusableFile:
    return UnusableFile(f"{path} cannot be written: {error.strerror}.")
