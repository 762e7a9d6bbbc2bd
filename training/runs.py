"""A run's folder: its configuration, what each step has done, its figures.

No partial file is used: files and folders are written to a temporary name and renamed, and a step
is done when `state.json` records it. One process at a time works in a folder.
"""

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import yaml

from training.config import Config
from worker.domain.errors import UnusableFile, WrongSetting
from worker.evaluation.keeping import write_whole

STEPS = ("sft", "mine", "dpo", "evaluate", "card")


def is_first_process() -> bool:
    """Whether this process writes: the only one, or the first of those that train together."""
    return os.environ.get("RANK", "0") == "0"


class Run:
    """The folder of one run.

    Attributes:
        folder: where everything lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def open(cls, folder: Path, config: Config) -> "Run":
        """The folder of this configuration's run, made where it is not there.

        Raises:
            WrongSetting: it belongs to another configuration.
            UnusableFile: it cannot be written.
        """
        run = cls(folder)
        stored = folder / "config.yaml"
        document = config.model_dump(mode="json")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            began = yaml.safe_load(stored.read_text()) if stored.is_file() else None
        except OSError as error:
            raise UnusableFile(f"{folder} cannot be used: {error.strerror}.") from None
        if began is None:
            write_whole(stored, yaml.safe_dump(document, sort_keys=False).encode())
        elif began != document:
            key = next(_differences(began, document))
            raise WrongSetting(
                f"{folder} was begun with another {key}: name another folder, or go back to that."
            )
        return run

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder against another process.

        Raises:
            UnusableFile: another process works in it.
        """
        with (self.folder / ".lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UnusableFile(f"Another process works in {self.folder}.") from None
            yield

    @property
    def state(self) -> dict[str, Any]:
        """What is known of each step that is done."""
        path = self.folder / "state.json"
        return dict(orjson.loads(path.read_bytes())) if path.is_file() else {}

    def is_done(self, step: str) -> bool:
        """Whether this step need not be made again."""
        return step in self.state

    def finish(self, step: str, **facts: Any) -> None:
        """Record that a step is done, with its summary."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        state = self.state | {step: {"finished_at": now} | facts}
        content = orjson.dumps(state, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        write_whole(self.folder / "state.json", content)

    def require(self, step: str) -> None:
        """Refuse to continue before another step is done.

        Raises:
            UnusableFile: it is not.
        """
        if not self.is_done(step):
            raise UnusableFile(f"{self.folder} has no finished {step}; run that step first.")

    def model(self, name: str) -> Path:
        """The folder of a model's weights, which is there in full or not at all."""
        return self.folder / "models" / name

    def checkpoints(self, name: str) -> Path:
        """The checkpoint from which an interrupted training resumes."""
        return self.folder / "checkpoints" / name

    def log(self, step: str, figures: dict[str, Any]) -> None:
        """Append one line of figures to `metrics.jsonl`."""
        line = json.dumps({"step": step, **figures}) + "\n"
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(line)

    def logged(self, step: str) -> list[dict[str, Any]]:
        """The figures of a step in the order of its training; the last word on each counts."""
        path = self.folder / "metrics.jsonl"
        found: dict[Any, dict[str, Any]] = {}
        for line in path.read_bytes().splitlines() if path.is_file() else ():
            try:
                figures = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # torn by an interruption
            if figures["step"] == step:
                found[figures.get("at")] = figures
        return [found[at] for at in sorted(found, key=lambda at: at or 0)]


def _differences(one: dict[str, Any], other: dict[str, Any], within: str = "") -> Iterator[str]:
    for key in one.keys() | other.keys():
        first, second = one.get(key), other.get(key)
        if isinstance(first, dict) and isinstance(second, dict):
            yield from _differences(first, second, f"{within}{key}.")
        elif first != second:
            yield f"{within}{key}"


def write_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """A folder that is there in full or not at all; one that was there is replaced."""
    beside = folder.with_name(f".{folder.name}.writing")
    before = folder.with_name(f".{folder.name}.before")
    for left in (beside, before):
        shutil.rmtree(left, ignore_errors=True)
    beside.mkdir(parents=True)
    fill(beside)
    for path in beside.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    if folder.exists():
        folder.rename(before)
    beside.rename(folder)
    shutil.rmtree(before, ignore_errors=True)


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    """A file of JSON Lines that is there in full or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    option = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    write_whole(path, b"".join(orjson.dumps(row, option=option) for row in rows))


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        UnusableFile: fewer bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UnusableFile(
            f"{folder} needs {needed / 1e9:.1f} GB on its disk, which has {free / 1e9:.1f} GB free."
        )


def disk_trouble(error: BaseException) -> str | None:
    """A sentence for a library's error about a full disk; None for any other error."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    # safetensors and torch put the system's words into errors of their own
    named = "No space left" in str(error) or "PytorchStreamWriter failed" in str(error)
    if full or named:
        return "There is no space left on the disk; free some, and the same command resumes."
    return None
