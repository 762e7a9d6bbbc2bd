"""Patterns for untrusted text: the time they take grows in proportion to the text.

Python's `re` tries alternatives one after another, so a text can be written that takes quadratic
or exponential time with a pattern that looks harmless. RE2 follows all alternatives at once. It
has no backreferences and no look-around. This is the only module that imports a regular
expression engine for untrusted text; a lint rule keeps `re` out of the package.
"""

from collections.abc import Iterator
from typing import Protocol

import re2


class Match(Protocol):
    """A match; positions count characters."""

    def span(self, group: int = 0) -> tuple[int, int]:
        """Where a group stands; the whole match is group 0."""
        ...

    def groups(self) -> tuple[str, ...]:
        """The groups' texts."""
        ...

    def groupdict(self) -> dict[str, str]:
        """The named groups' texts."""
        ...


class Pattern:
    r"""A compiled pattern in RE2's syntax (https://github.com/google/re2/wiki/Syntax).

    Unlike in `re`, `\b`, `\d`, `\s` and `\w` know ASCII only (`\p{...}` knows Unicode), and flags
    are written into the pattern, as in `(?im)`. Lone surrogates match as question marks.
    """

    __slots__ = ("_bytes", "_text", "source")

    def __init__(self, source: str) -> None:
        options = re2.Options()
        options.log_errors = False
        self.source = source
        self._text = re2.compile(source, options)
        # for yes or no: positions in UTF-8 need not become positions of characters
        self._bytes = re2.compile(source.encode(), options)

    def found_in(self, text: str) -> bool:
        """Whether some part of the text matches."""
        return self._bytes.search(text.encode("utf-8", "replace")) is not None

    def fullmatch(self, text: str) -> Match | None:
        """The match of the whole text."""
        found: Match | None = self._text.fullmatch(_encodable(text))
        return found

    def search(self, text: str) -> Match | None:
        """The first match."""
        found: Match | None = self._text.search(_encodable(text))
        return found

    def finditer(self, text: str) -> Iterator[Match]:
        """Every match, from left to right; matches do not overlap."""
        found: Iterator[Match] = self._text.finditer(_encodable(text))
        return found


def _encodable(text: str) -> str:
    """The text with a question mark for each lone surrogate: no position changes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
