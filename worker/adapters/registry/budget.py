"""The limit of what one value may become in memory.

A megabyte of bytes can stand for millions of values, each of which takes a hundred bytes and a
microsecond as a Python object.
"""

from worker.domain.errors import NotAnEvent

MAX_VALUES = 100_000
MAX_DEPTH = 64


class Budget:
    """Counts the values that were read of one record."""

    __slots__ = ("left",)

    def __init__(self, values: int = MAX_VALUES) -> None:
        self.left = values

    def spend(self, values: int) -> None:
        """Count values before they are read.

        Raises:
            NotAnEvent: there are too many.
        """
        self.left -= values
        if self.left < 0:
            raise NotAnEvent(f"The value holds more than {MAX_VALUES} values.")


def check_depth(depth: int) -> None:
    """Refuse values in values in values.

    Raises:
        NotAnEvent: it is nested too deeply.
    """
    if depth > MAX_DEPTH:
        raise NotAnEvent(f"The value is nested more than {MAX_DEPTH} levels deep.")
