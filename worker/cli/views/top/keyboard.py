"""The keyboard, while the console is on the screen."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

END = "\x04"
"""Ctrl-D; also sent when the terminal was closed."""


@contextmanager
def on_key(act: Callable[[str], object]) -> Iterator[None]:
    """Call `act` with each key, without echo; does nothing without a terminal.

    When the terminal is closed, `act` is called with `END`.
    """
    if not sys.stdin.isatty():
        yield
        return
    import termios

    stdin = sys.stdin.fileno()
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(stdin)
    quiet = termios.tcgetattr(stdin)
    quiet[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(stdin, termios.TCSANOW, quiet)

    def read() -> None:
        try:
            keys = os.read(stdin, 64)
        except OSError:
            keys = b""
        if not keys:
            # a closed terminal stays readable
            loop.remove_reader(stdin)
        act(keys.decode("utf-8", "replace") or END)

    loop.add_reader(stdin, read)
    try:
        yield
    finally:
        loop.remove_reader(stdin)
        with suppress(termios.error):  # it was closed
            termios.tcsetattr(stdin, termios.TCSANOW, before)
