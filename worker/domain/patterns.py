"""Patterns for untrusted text: matching takes time linear in the length of the text.

Python's `re` backtracks, so a crafted text can take quadratic or exponential time with a pattern
that looks harmless. RE2 follows all alternatives in one pass. It has no backreferences and no
look-around. This is the only module that imports a regular expression engine for untrusted text; a
lint rule keeps `re` out of the package.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

import re2


class Match(Protocol):
    """A match; positions count characters."""

    def span(self, group: int = 0) -> tuple[int, int]:
        """Start and end of a group, -1 where it took no part; group 0 is the complete match."""
        ...

    def groups(self) -> tuple[str, ...]:
        """The texts of the groups."""
        ...

    def groupdict(self) -> dict[str, str]:
        """The texts of the named groups."""
        ...


class InvalidPattern(ValueError):  # noqa: N818 - the kind is the name
    """RE2 refuses a pattern; the message is its reason."""


class Pattern:
    r"""A compiled pattern in RE2's syntax (https://github.com/google/re2/wiki/Syntax).

    Unlike in `re`, `\b`, `\d`, `\s` and `\w` match ASCII only (`\p{...}` matches Unicode), and
    flags are part of the pattern, as in `(?im)`. Lone surrogates match as question marks.

    Raises:
        InvalidPattern: it is no pattern.
    """

    __slots__ = ("_bytes", "_text", "source")

    def __init__(self, source: str) -> None:
        options = re2.Options()
        options.log_errors = False
        self.source = source
        try:
            self._text = re2.compile(source, options)
        except re2.error as error:
            reason = error.args[0] if error.args else "it is no pattern"
            text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            raise InvalidPattern(text) from None
        # faster where no positions are needed: none is converted from bytes to characters
        self._bytes = re2.compile(source.encode(), options)

    @property
    def groups(self) -> Mapping[str, int]:
        """The numbers of the named groups."""
        found: Mapping[str, int] = self._text.groupindex
        return found

    def found_in(self, text: str) -> bool:
        """Whether the pattern matches anywhere in the text."""
        return self._bytes.search(text.encode("utf-8", "replace")) is not None

    def fullmatch(self, text: str) -> Match | None:
        """The match of the complete text."""
        found: Match | None = self._text.fullmatch(_encodable(text))
        return found

    def search(self, text: str) -> Match | None:
        """The first match."""
        found: Match | None = self._text.search(_encodable(text))
        return found

    def finditer(self, text: str) -> Iterator[Match]:
        """All non-overlapping matches, from left to right."""
        found: Iterator[Match] = self._text.finditer(_encodable(text))
        return found


def _encodable(text: str) -> str:
    """The text with each lone surrogate replaced by a question mark: positions do not change."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
