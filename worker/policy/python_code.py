"""Nodes of Python's syntax tree, as the compiler of rules needs them.

Policies become nodes, never source text: no text of a policy is run as code.
"""

import ast
from collections.abc import Iterable

TRUE: ast.expr = ast.Constant(True)
FALSE: ast.expr = ast.Constant(False)


def const(value: object) -> ast.expr:
    """A constant; a frozen set and a tuple are constants too."""
    return ast.Constant(value)  # type: ignore[arg-type]


def name(text: str) -> ast.expr:
    """A variable, read."""
    return ast.Name(text, ast.Load())


def stored(text: str) -> ast.expr:
    """A variable, assigned."""
    return ast.Name(text, ast.Store())


def attribute(of: ast.expr, text: str) -> ast.expr:
    """An attribute."""
    return ast.Attribute(of, text, ast.Load())


def item(of: ast.expr, key: ast.expr) -> ast.expr:
    """An element of a list or a mapping."""
    return ast.Subscript(of, key, ast.Load())


def call(function: ast.expr, *given: ast.expr) -> ast.expr:
    """A call."""
    return ast.Call(function, list(given), [])


def both(parts: Iterable[ast.expr]) -> ast.expr:
    """Whether all hold, in this order; what is always true is left out."""
    kept = [part for part in parts if part is not TRUE]
    if any(part is FALSE for part in kept):
        return FALSE
    return _joined(ast.And(), kept) if kept else TRUE


def either(parts: Iterable[ast.expr]) -> ast.expr:
    """Whether one holds, in this order; what is never true is left out."""
    kept = [part for part in parts if part is not FALSE]
    if any(part is TRUE for part in kept):
        return TRUE
    return _joined(ast.Or(), kept) if kept else FALSE


def _joined(operator: ast.boolop, parts: list[ast.expr]) -> ast.expr:
    return parts[0] if len(parts) == 1 else ast.BoolOp(operator, parts)


def negated(part: ast.expr) -> ast.expr:
    """Whether it does not hold."""
    if part is TRUE or part is FALSE:
        return FALSE if part is TRUE else TRUE
    return ast.UnaryOp(ast.Not(), part)


_OPERATORS: dict[str, type[ast.cmpop]] = {
    "<": ast.Lt,
    "<=": ast.LtE,
    ">": ast.Gt,
    ">=": ast.GtE,
    "==": ast.Eq,
    "!=": ast.NotEq,
    "in": ast.In,
    "is not": ast.IsNot,
    "is": ast.Is,
}
_ARITHMETIC: dict[str, type[ast.operator]] = {"+": ast.Add, "-": ast.Sub, "*": ast.Mult}


def compare(left: ast.expr, operator: str, right: ast.expr) -> ast.expr:
    """A comparison."""
    return ast.Compare(left, [_OPERATORS[operator]()], [right])


def calculate(left: ast.expr, operator: str, right: ast.expr) -> ast.expr:
    """A sum, difference or product."""
    return ast.BinOp(left, _ARITHMETIC[operator](), right)


def is_given(value: ast.expr) -> ast.expr:
    """Whether a value is not null."""
    return compare(value, "is not", const(None))


def over(element: ast.expr, variable: str, items: ast.expr, *tests: ast.expr) -> ast.expr:
    """A generator of an element for each item that passes the tests."""
    kept = [test for test in tests if test is not TRUE]
    return ast.GeneratorExp(element, [ast.comprehension(stored(variable), items, kept, 0)])
