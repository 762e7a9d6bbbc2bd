"""Escaping of untrusted text that is displayed."""


def printable(text: str) -> str:
    """The text with control characters and invisible characters escaped."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def encodable(text: str) -> str:
    """The text with lone surrogates escaped, which cannot be encoded in UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
