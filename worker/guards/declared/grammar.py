"""What a named group of a pattern can match, as far as its source shows."""

from worker.domain.patterns import InvalidPattern, Pattern

_GLOBAL_FLAGS = Pattern(r"\(\?[imsU]+\)")
_LITERAL = Pattern("[A-Za-z0-9 _/&,'-]+")


def group_pattern(source: str, group: str) -> str | None:
    r"""The pattern of a named group alone, with the flags at the start of the pattern.

    None where it cannot be found, as in a quotation of RE2 (`\Q...\E`).
    """
    start = next(
        (
            at + len(opening)
            for opening in (f"(?P<{group}>", f"(?<{group}>")
            if (at := source.find(opening)) >= 0
        ),
        None,
    )
    if start is None:
        return None
    end = _end_of_group(source, start)
    flags = _GLOBAL_FLAGS.search(source)
    prefix = source[: flags.span()[1]] if flags is not None and flags.span()[0] == 0 else ""
    inner = f"{prefix}{source[start:end]}"
    try:
        Pattern(inner)
    except InvalidPattern:
        return None
    return inner


def alternatives(inner: str) -> tuple[str, ...]:
    """The words of a group that is a choice between words; none for another group."""
    words = inner.split("|")
    return tuple(words) if all(map(_LITERAL.fullmatch, words)) else ()


def _end_of_group(source: str, start: int) -> int:
    """Where the group ends that began before `start`."""
    depth, at, in_class = 1, start, False
    while at < len(source):
        one = source[at]
        if one == "\\":
            at += 1
        elif in_class:
            # a bracket that comes first belongs to the class
            in_class = one != "]" or source[at - 1] == "[" or source[at - 2 : at] == "[^"
        elif one == "[":
            in_class = True
        elif one in "()":
            depth += 1 if one == "(" else -1
            if depth == 0:
                return at
        at += 1
    return at
