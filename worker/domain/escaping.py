"""Making foreign text harmless to whoever shows it."""


def printable(text: str) -> str:
    """The text with every character escaped that could steer a terminal or hide others."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def encodable(text: str) -> str:
    """The text with lone surrogates escaped, which UTF-8 has no bytes for."""
    return text.encode("utf-8", "backslashreplace").decode()
