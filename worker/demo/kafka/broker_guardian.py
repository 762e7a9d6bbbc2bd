"""Runs the embedded broker's JVM for a parent, and never outlives that parent.

The parent has the write end of this program's standard input. A byte on it is a command; its end
means that the parent has ended, even by a SIGKILL, which leaves no time to clean up. Then the JVM
is killed and the temporary folder removed.

It is run as a file, by ``python -I -S``, so it must import nothing but the standard library.
"""

import argparse
import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

TERMINATE = b"t"
KILL = b"k"

_POLL_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1


def guard(command: list[str], *, parent: int, grace_seconds: float, remove: Path | None) -> int:
    """Run a command until it ends, the parent orders its end, or the parent has ended.

    Args:
        command: What to run, in its own process group.
        parent: Process id of the parent. A forked child can keep the pipe open after the death of
            the parent, so the id is watched too.
        grace_seconds: How long a termination may take before the command is killed.
        remove: A folder to remove if the parent has ended.

    Returns:
        The command's exit status, 128 + N for a death by signal N.
    """
    process = subprocess.Popen(  # noqa: S603 the command comes from the broker module
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_death_with_guardian(),  # noqa: PLW1509 no threads here
    )
    kill_at = float("inf")
    orphaned = False
    while process.poll() is None:
        order = _next_order()
        orphaned = order == b"" or os.getppid() != parent
        if orphaned:
            _kill(process)
        elif order == TERMINATE:
            process.terminate()
            kill_at = min(kill_at, time.monotonic() + grace_seconds)
        elif order == KILL or time.monotonic() >= kill_at:
            _kill(process)
    if remove is not None and (orphaned or _next_order(wait_seconds=0) == b""):
        shutil.rmtree(remove, ignore_errors=True)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _next_order(wait_seconds: float = _POLL_SECONDS) -> bytes | None:
    """Return the next byte, an empty string at the end of the pipe, None if there is none yet."""
    readable, _, _ = select.select([0], [], [], wait_seconds)
    return os.read(0, 1) if readable else None


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _death_with_guardian() -> Callable[[], object] | None:
    """Return a function that makes Linux kill the JVM if the guardian is killed."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--grace-seconds", type=float, required=True)
    parser.add_argument("--remove", type=Path)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    # Only commands of the parent and its end count.
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    return guard(
        arguments.command,
        parent=arguments.parent,
        grace_seconds=arguments.grace_seconds,
        remove=arguments.remove,
    )


if __name__ == "__main__":
    sys.exit(main())
