"""The numbers of some exchanges of a record, in a header: sorted, as ranges (`0,3-5`)."""

from bisect import bisect_right
from collections.abc import Iterable

# on a dead letter: the exchanges of its record that could not be judged. Of a redriven record with
# this header, only these are judged.
EXCHANGES = "guardstream.exchanges"

_MAX_DIGITS = 9


class NumberRanges:
    """A set of numbers, as ranges with both ends."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted(ranges):
            if self._lasts and first <= self._lasts[-1] + 1:
                self._lasts[-1] = max(self._lasts[-1], last)
            else:
                self._firsts.append(first)
                self._lasts.append(last)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def encode(self) -> bytes:
        """The value of the header."""
        pairs = zip(self._firsts, self._lasts, strict=True)
        return ",".join(str(f) if f == last else f"{f}-{last}" for f, last in pairs).encode()


def read_ranges(value: bytes | None) -> NumberRanges | None:
    """The ranges in a header; None if there is no header, or it has another form."""
    if not value:
        return None
    ranges = []
    for part in value.split(b","):
        first, dash, last = part.partition(b"-")
        last = last if dash else first
        if not (_is_number(first) and _is_number(last)):
            return None
        ranges.append((int(first), int(last)))
    return NumberRanges(ranges)


def _is_number(digits: bytes) -> bool:
    return digits.isdigit() and len(digits) <= _MAX_DIGITS
