"""The syntax tree of a CEL expression, from the grammar of cel-python.

Only the grammar is the library's: its evaluator takes a millisecond for a rule, its parser loses
the place of `true` and `false`, and importing the package takes half a second. What an expression
may name and how it is evaluated is in `compiler.py`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from worker.domain.errors import GuardstreamError
from worker.policy.literals import read_number, read_string, unterminated_string

MAX_CHARACTERS = 4_000
_MAX_DEPTH = 40
# of the language: no variable can have these names
RESERVED = frozenset(
    {
        *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import"),
        *("in", "let", "loop", "namespace", "null", "package", "return", "true", "var", "void"),
        "while",
    }
)
_RELATIONS = {
    "relation_lt": "<",
    "relation_le": "<=",
    "relation_gt": ">",
    "relation_ge": ">=",
    "relation_eq": "==",
    "relation_ne": "!=",
    "relation_in": "in",
    "addition_add": "+",
    "addition_sub": "-",
    "multiplication_mul": "*",
    "multiplication_div": "/",
    "multiplication_mod": "%",
}
_CHAINS = {"conditionalor": "||", "conditionaland": "&&"}


class MissingGrammar(GuardstreamError):  # noqa: N818
    """A package is not installed."""


class InvalidRule(GuardstreamError):  # noqa: N818
    """An expression that cannot be used. Line and column count from 1, in the expression."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(f"line {line}, column {column}: {message}")


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression.

    Attributes:
        kind: `literal`, `name`, `select`, `index`, `call`, `method`, `list`, `choice`
            (?:), `negative` (a unary minus), or an operator.
        value: of a literal; the name of what is named, selected or called.
        children: operands; of a method, its target first.
        start: where its text begins in the expression, and `end` where it ends.
    """

    kind: str
    value: Any
    children: tuple["Node", ...]
    line: int
    column: int
    start: int
    end: int

    def walk(self) -> Iterator["Node"]:
        """This part and all parts of it."""
        yield self
        for child in self.children:
            yield from child.walk()

    def fault(self, message: str) -> InvalidRule:
        """The error of an expression that is wrong here."""
        return InvalidRule(self.line, self.column, message)


def parse(text: str) -> Node:
    """The tree of an expression.

    Raises:
        InvalidRule: it is not CEL, is too long or nested too deeply, or uses what policies do not
            offer.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidRule(
            1, 1, f"{len(text):,} characters; an expression has {MAX_CHARACTERS:,} at most"
        )
    if (start := unterminated_string(text)) is not None:
        raise InvalidRule(*_place(text, start), "the string has no end")
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        raise _not_cel(text, error) from None
    return _Reader(text).read(tree, 0)


@cache
def _parser() -> Lark:
    found = find_spec("celpy")
    places = found.submodule_search_locations if found else None
    if not places:
        raise MissingGrammar("Policies need the package cel-python: install it.")
    return Lark(
        (Path(places[0]) / "cel.lark").read_text("utf-8"),
        parser="lalr",
        start="expr",
        lexer_callbacks={"IDENT": _literal_or_name},
        propagate_positions=True,
        maybe_placeholders=False,
        # the order in which the grammar was written to be read
        priority="invert",
    )


def _literal_or_name(token: Token) -> Token:
    is_literal = token in {"true", "false"}
    if not is_literal:
        return token
    changed: Token = token.update(type="BOOL_LIT")
    return changed


def _not_cel(text: str, error: UnexpectedInput) -> InvalidRule:
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return InvalidRule(*_place(text, len(text)), "the expression is incomplete")
    if isinstance(error, UnexpectedToken | UnexpectedCharacters):
        return InvalidRule(error.line, error.column, "not CEL from here on")
    return InvalidRule(1, 1, "not CEL")


def _place(text: str, at: int) -> tuple[int, int]:
    """Line and column of a character."""
    before = text[:at]
    return before.count("\n") + 1, at - before.rfind("\n")


class _Reader:
    """Reads the library's tree, in which each level of precedence is a node."""

    def __init__(self, text: str) -> None:
        self._text = text

    def read(self, tree: Any, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            raise self._fault(tree, f"nested more than {_MAX_DEPTH} levels deep")
        # the levels that have one child have no meaning
        while isinstance(tree, Tree) and len(tree.children) == 1 and tree.data in _TRANSPARENT:
            tree = tree.children[0]
        read = getattr(self, f"_{tree.data}", None)
        if read is None:
            raise self._fault(tree, f"{_NOT_OFFERED.get(tree.data, tree.data)} are not offered")
        node: Node = read(tree, depth + 1)
        return node

    def _node(self, kind: str, tree: Any, value: Any = None, *children: Node) -> Node:
        at = tree.meta
        return Node(kind, value, children, at.line, at.column, at.start_pos, at.end_pos)

    def _fault(self, tree: Any, message: str) -> InvalidRule:
        at = tree.meta
        return InvalidRule(getattr(at, "line", 1), getattr(at, "column", 1), message)

    def _expr(self, tree: Any, depth: int) -> Node:
        return self._node("choice", tree, None, *(self.read(one, depth) for one in tree.children))

    def _conditionalor(self, tree: Any, depth: int) -> Node:
        # a chain of operators is a tree that is as deep as the chain is long
        level, operands = tree.data, []
        at = tree
        while at.data == level and len(at.children) == 2:
            at, last = at.children
            operands.append(last)
        read = [self.read(one, depth) for one in (at, *reversed(operands))]
        return self._node(_CHAINS[level], tree, None, *read)

    _conditionaland = _conditionalor

    def _relation(self, tree: Any, depth: int) -> Node:
        left, right = tree.children
        (first,) = left.children
        operands = self.read(first, depth), self.read(right, depth)
        return self._node(_RELATIONS[left.data], tree, None, *operands)

    _addition = _multiplication = _relation

    def _unary(self, tree: Any, depth: int) -> Node:
        operator, operand = tree.children
        kind = "!" if operator.data == "unary_not" else "negative"
        return self._node(kind, tree, None, self.read(operand, depth))

    def _paren_expr(self, tree: Any, depth: int) -> Node:
        return self.read(tree.children[0], depth)

    def _literal(self, tree: Any, _: int) -> Node:
        token: Token = tree.children[0]
        if token.type in {"BYTES_LIT", "UINT_LIT"}:
            raise self._fault(tree, "bytes and unsigned numbers are not offered")
        try:
            value = _LITERALS[token.type](str(token))
        except ValueError as error:
            raise self._fault(tree, str(error)) from None
        return self._node("literal", tree, value)

    def _ident(self, tree: Any, _: int) -> Node:
        if tree.children[0].value == "null":
            return self._node("literal", tree, None)
        return self._node("name", tree, str(tree.children[0]))

    def _ident_arg(self, tree: Any, depth: int) -> Node:
        return self._node("call", tree, str(tree.children[0]), *self._list(tree, depth))

    def _member_dot(self, tree: Any, depth: int) -> Node:
        of, field = tree.children
        return self._node("select", tree, str(field), self.read(of, depth))

    def _member_dot_arg(self, tree: Any, depth: int) -> Node:
        of, name = tree.children[:2]
        given = self._list(tree, depth)
        return self._node("method", tree, str(name), self.read(of, depth), *given)

    def _member_index(self, tree: Any, depth: int) -> Node:
        of, key = tree.children
        return self._node("index", tree, None, self.read(of, depth), self.read(key, depth))

    def _list_lit(self, tree: Any, depth: int) -> Node:
        return self._node("list", tree, None, *self._list(tree, depth))

    def _list(self, tree: Any, depth: int) -> list[Node]:
        last = tree.children[-1] if tree.children else None
        if not isinstance(last, Tree) or last.data != "exprlist":
            return []
        return [self.read(one, depth) for one in last.children]


_TRANSPARENT = frozenset(
    {
        *("expr", "conditionalor", "conditionaland", "relation", "addition", "multiplication"),
        *("unary", "member", "primary"),
    }
)
_NOT_OFFERED = {
    "map_lit": "maps",
    "member_object": "messages",
    "dot_ident": "names that begin with a dot",
    "dot_ident_arg": "names that begin with a dot",
}
_LITERALS: dict[str, Callable[[str], Any]] = {
    "INT_LIT": read_number,
    "FLOAT_LIT": read_number,
    "STRING_LIT": read_string,
    "MLSTRING_LIT": read_string,
    "BOOL_LIT": lambda text: text == "true",
    "NULL_LIT": lambda _: None,
}
