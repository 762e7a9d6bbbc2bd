"""The file of verdicts that a run appends to, its refusals, and how far the run is.

Rows are written in the order of the input. At intervals both files are forced to the disk, and then
their sizes and the place in the input are stored. A run that was killed at any moment cuts both to
these sizes and continues at this place: what was written after them is judged again.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import TypeAdapter, ValidationError

from worker.domain.errors import UnusableFile
from worker.operator.offline.inputs import PARQUET, START, Place
from worker.operator.offline.tables import write_table

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Counts:
    """Exchanges by what became of them."""

    judged: int = 0
    refused: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        made_by: what its verdicts depend on, by the name that a user knows.
        place: where the input is read next.
        sizes: of the files of verdicts and of refusals, in bytes.
        complete: whether there is nothing left to do.
    """

    made_by: Settings
    place: Place = START
    sizes: tuple[int, int] = (0, 0)
    counts: Counts = field(default=Counts())
    complete: bool = False


_PROGRESS = TypeAdapter(Progress)


class Output:
    """Where verdicts and refusals are written.

    Attributes:
        progress: of this run and the ones before it.
    """

    def __init__(
        self, path: Path, progress: Progress, verdicts: BinaryIO, refusals: BinaryIO
    ) -> None:
        self._path = path
        self._files = (verdicts, refusals)
        self.progress = progress

    def write(self, verdict: bytes) -> None:
        """Add a verdict."""
        self._append(0, verdict)

    def refuse(self, refusal: bytes) -> None:
        """Add a row that cannot be judged."""
        self._append(1, refusal)

    def _append(self, file: int, line: bytes) -> None:
        try:
            self._files[file].write(line + b"\n")
        except OSError as error:
            raise _refusal(self._path, error) from None

    def checkpoint(self, place: Place, counts: Counts) -> None:
        """Make what was written survive a crash of the machine.

        Raises:
            UnusableFile: it cannot be written.
        """
        try:
            for file in self._files:
                file.flush()
                os.fsync(file.fileno())
            verdicts, refusals = (file.tell() for file in self._files)
            self._store(
                replace(self.progress, place=place, sizes=(verdicts, refusals), counts=counts)
            )
        except OSError as error:
            raise _refusal(self._path, error) from None

    def finish(self) -> None:
        """Write the table, if it is one; nothing is left to judge.

        Raises:
            UnusableFile: it cannot be written.
        """
        try:
            if is_table(self._path):
                write_table(lines_path(self._path), self._path)
            self._store(replace(self.progress, complete=True))
            if is_table(self._path):
                lines_path(self._path).unlink()
            if not self.progress.sizes[1]:
                refusals_path(self._path).unlink()
        except OSError as error:
            raise _refusal(self._path, error) from None

    def _store(self, progress: Progress) -> None:
        self.progress = progress
        path = progress_path(self._path)
        next_to = path.with_name(f"{path.name}.new")
        with next_to.open("wb") as file:
            file.write(_PROGRESS.dump_json(progress, indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        next_to.replace(path)


def is_table(path: Path) -> bool:
    """Whether this is written as Parquet."""
    return path.suffix.lower() == PARQUET


def progress_path(path: Path) -> Path:
    """How far the run is that writes a file."""
    return path.with_name(f"{path.name}.progress.json")


def refusals_path(path: Path) -> Path:
    """The rows that could not be judged, next to the verdicts."""
    return path.with_name(f"{path.name}.refused.jsonl")


def lines_path(path: Path) -> Path:
    """Where verdicts are appended; a table is written from them at the end."""
    return path.with_name(f"{path.name}.partial.jsonl") if is_table(path) else path


def begin(path: Path, made_by: Settings) -> Progress:
    """How far earlier runs of the same command are.

    Raises:
        UnusableFile: it cannot be written, or it was made by another input, guard or mapping.
    """
    earlier = _read_progress(path)
    if earlier is None:
        if path.exists() and (not path.is_file() or path.stat().st_size):
            raise UnusableFile(
                f"{path} exists, and there is no {progress_path(path).name} to resume from; remove"
                " it or name another file."
            )
        return Progress(made_by)
    if others := _differences(earlier.made_by, made_by):
        raise UnusableFile(
            f"{path} was begun with another {'; another '.join(others)}. Remove"
            f" {progress_path(path).name} and {path.name}, or name another file."
        )
    if not (path if earlier.complete else lines_path(path)).exists():
        raise UnusableFile(
            f"{path} is missing, but {progress_path(path).name} is there; remove it to judge"
            " everything again."
        )
    return earlier


def _differences(earlier: Settings, ours: Settings) -> list[str]:
    return [
        f"{name} ({earlier.get(name)}, now {ours.get(name)})"
        for name in {**earlier, **ours}
        if earlier.get(name) != ours.get(name)
    ]


def _read_progress(path: Path) -> Progress | None:
    try:
        return _PROGRESS.validate_json(progress_path(path).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise UnusableFile(
            f"{progress_path(path)} cannot be used ({type(error).__name__})."
        ) from None


@contextmanager
def output_file(path: Path, progress: Progress) -> Iterator[Output]:
    """The file that a run writes, locked for one run at a time.

    Raises:
        UnusableFile: it cannot be written, or another run writes it.
    """
    with ExitStack() as stack:
        try:
            files = [
                stack.enter_context(one.open("ab"))
                for one in (lines_path(path), refusals_path(path))
            ]
            fcntl.flock(files[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
            # another run can have written between `begin` and the lock
            _require(
                _read_progress(path) in (None, progress), f"{path} was written by another run."
            )
            for file, size in zip(files, progress.sizes, strict=True):
                _require(
                    file.tell() >= size,
                    f"{file.name} is shorter than when the last run stopped; remove"
                    f" {progress_path(path)} to judge everything again.",
                )
                file.truncate(size)
                file.seek(size)
            found = Output(path, progress, *files)
            # before the first verdict, so that a file without it is known to be of another origin
            found.checkpoint(progress.place, progress.counts)
        except BlockingIOError:
            raise UnusableFile(f"{path} is being written by another run.") from None
        except OSError as error:
            raise _refusal(path, error) from None
        yield found


def _require(condition: bool, otherwise: str) -> None:  # noqa: FBT001
    if not condition:
        raise UnusableFile(otherwise)


def _refusal(path: Path, error: OSError) -> UnusableFile:
    return UnusableFile(f"{path} cannot be written: {error.strerror}.")
