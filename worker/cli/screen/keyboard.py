"""Keys that are pressed while the console is on the screen."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_key(act: Callable[[str], object]) -> Iterator[None]:
    """Give each key to `act` and keep it off the screen; nothing without a terminal."""
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
    loop.add_reader(stdin, lambda: act(os.read(stdin, 64).decode("utf-8", "replace")))
    try:
        yield
    finally:
        loop.remove_reader(stdin)
        termios.tcsetattr(stdin, termios.TCSANOW, before)
