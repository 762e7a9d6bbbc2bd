"""Instructions of each operation, counted by valgrind's callgrind.

The processor's counters (`perf stat`) are not available on most virtual machines, and time is not
reliable there; instruction counts do not depend on what else runs.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.micro.counted import MARK
from benchmarks.micro.operations import EVENTS, OPERATIONS

_ROOT = Path(__file__).parents[2]
_SUMMARY = re.compile(r"^summary: (\d+)$", re.MULTILINE)
# one thread tokenises, and sets iterate in the same order
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}


class NoCountsError(Exception):
    """Why there are no counts, in a sentence."""


def is_available() -> bool:
    """Whether valgrind is installed."""
    return shutil.which("valgrind") is not None


def count_instructions(names: Sequence[str] = tuple(OPERATIONS)) -> dict[str, int]:
    """Instructions per event of each operation.

    Raises:
        NoCountsError: valgrind is missing, or fails.
    """
    if not is_available():
        raise NoCountsError("valgrind is not installed, so instructions cannot be counted.")
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "counts"
        command = ["valgrind", "--tool=callgrind", f"--dump-before={MARK}"]
        command += [f"--callgrind-out-file={written}", sys.executable]
        done = subprocess.run(  # noqa: S603
            [*command, "-m", "benchmarks.micro.counted", *names],
            cwd=_ROOT,
            env=os.environ | _ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:]
            raise NoCountsError(f"The operations failed under valgrind: {' '.join(last)}")
        found = [
            int(_SUMMARY.findall((written.with_name(f"counts.{n}")).read_text())[0])
            for n in range(1, len(list(Path(folder).iterdir())))
        ]
    if len(found) != 2 * len(names):
        raise NoCountsError(
            f"valgrind saw {len(found)} of {2 * len(names)} calls of {MARK}(); it does not know"
            " this libc."
        )
    # what precedes an operation's first mark is its making and warming up
    return {name: round(count / EVENTS) for name, count in zip(names, found[1::2], strict=True)}
