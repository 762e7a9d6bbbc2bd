"""HTML and SVG, built so that text cannot become markup."""

from html import escape

from worker.domain.escaping import printable


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """An element; what is not markup is escaped, and so is what steers or hides text.

    Attributes are spelled as Python allows: `class_` and `text_anchor` are class and text-anchor.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(printable(str(value)))}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{name}{given}>{join(content)}</{name}>")


def join(content: object) -> Markup:
    """The pieces one after another."""
    pieces = content if isinstance(content, (list, tuple)) else (content,)
    return Markup("".join(_safe(piece) for piece in pieces))


def _safe(piece: object) -> str:
    if isinstance(piece, Markup):
        return piece
    if isinstance(piece, (list, tuple)):
        return join(piece)
    return escape(printable(str(piece)))


def table(names: list[str], rows: list[list[object]], *, class_: str = "") -> Markup:
    """A table; a row of empty names is left out."""
    head = tag("thead", tag("tr", [tag("th", name) for name in names])) if any(names) else ""
    body = [tag("tr", [tag("td", cell, class_=_kind(cell)) for cell in row]) for row in rows]
    return tag("div", tag("table", Markup(head), tag("tbody", body), class_=class_), class_="wide")


def _kind(cell: object) -> str:
    text = str(cell).replace(",", "").removeprefix("+").removeprefix("-")
    return "figure" if text[:1].isdigit() and not isinstance(cell, Text) else "text"


class Text(str):
    """Text that is no figure, though it may begin like one."""

    __slots__ = ()
