"""Becomes another program, one that dies with whoever started this one.

Run as a file, by ``python -I -S``: so nothing but the standard library is imported, and no code
runs between fork and exec in a process that has threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def guarded(command: list[str]) -> list[str]:
    """The command line of a command that must not outlive this process (on Linux)."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main() -> None:
    """Ask the kernel for the signal, and become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent:
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
