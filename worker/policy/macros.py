"""The macros of CEL: `has`, and those that go through a list.

A macro inside another would take time in proportion to the product of two lists, and is refused.
"""

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from worker.policy import python_code as py
from worker.policy.compiled import Condition, Value, checked
from worker.policy.syntax import RESERVED, Node
from worker.policy.types import NULL, described, is_list, is_map

if TYPE_CHECKING:
    from worker.policy.compiler import Compiler

_ITEM = "item"


def has(compiler: "Compiler", node: Node) -> Condition:
    """Whether a field is not null, or a map has a key."""
    if len(node.children) != 1 or node.children[0].kind != "select":
        raise node.fault("has() takes a field, such as prompt.score")
    field = node.children[0]
    of = compiler.value(field.children[0])
    found = compiler.field(field, of, field.value)
    if is_map(of.type) or found.type.nullable:
        return checked(of.needs, py.is_given(found.code), of.forks)
    return checked(of.needs, py.TRUE, of.forks)


def _parts(compiler: "Compiler", node: Node) -> tuple[Value, Condition]:
    """The list, and the condition on an element of it."""
    if len(node.children) != 3 or node.children[1].kind != "name":
        raise node.fault(f"{node.value}() is called as list.{node.value}(name, condition)")
    items = compiler.value(node.children[0])
    name = node.children[1].value
    if not is_list(items.type) or items.type.element is None or items.type.element is NULL:
        raise node.fault(f"{node.value}() goes through a list, not {described(items.type)}")
    if name in RESERVED:
        raise node.children[1].fault(f"{name} is a word of the language")
    if compiler.variables:
        raise node.fault(f"{node.value}() inside another macro is not offered: use two rules")
    element = Value(items.type.element, (), py.name(_ITEM))
    return items, compiler.within(name, element).condition(node.children[2])


Quantifier = Callable[[ast.expr, ast.expr], ast.expr]


def _quantified(compiler: "Compiler", node: Node, yes: Quantifier, no: Quantifier) -> Condition:
    """True where `yes` holds of the elements that are true, false where `no` of the false ones."""
    items, each = _parts(compiler, node)
    return Condition(
        py.both((*items.needs, yes(items.code, each.yes))),
        py.both((*items.needs, no(items.code, each.no))),
        each.is_certain and not items.needs,
        max(items.forks, each.forks),
    )


def _exists(compiler: "Compiler", node: Node) -> Condition:
    return _quantified(compiler, node, _some, _every)


def _all(compiler: "Compiler", node: Node) -> Condition:
    return _quantified(compiler, node, _every, _some)


def _exists_one(compiler: "Compiler", node: Node) -> Condition:
    items, each = _parts(compiler, node)
    ones = py.call(py.name("sum"), py.over(py.const(1), _ITEM, items.code, each.yes))
    test = py.compare(ones, "==", py.const(1))
    return checked(_readable(items, each), test, max(items.forks, each.forks) + 1)


def _filter(compiler: "Compiler", node: Node) -> Value:
    items, each = _parts(compiler, node)
    kept = [] if each.yes is py.TRUE else [each.yes]
    one = ast.comprehension(py.stored(_ITEM), items.code, kept, 0)
    code = ast.ListComp(py.name(_ITEM), [one])
    return Value(items.type, _readable(items, each), code, forks=max(items.forks, each.forks) + 1)


def _readable(items: Value, each: Condition) -> tuple[ast.expr, ...]:
    """What must hold so that no element is an error."""
    if each.is_certain:
        return items.needs
    return (*items.needs, _every(items.code, py.either((each.yes, each.no))))


def _some(items: ast.expr, test: ast.expr) -> ast.expr:
    # most lists are empty, and then no generator is made
    found = py.call(py.name("any"), py.over(test, _ITEM, items))
    return py.both((py.call(py.name("bool"), items), found))


def _every(items: ast.expr, test: ast.expr) -> ast.expr:
    found = py.call(py.name("all"), py.over(test, _ITEM, items))
    return py.either((py.negated(items), found))


Macro = Callable[["Compiler", Node], Condition | Value]
MACROS: dict[str, Macro] = {
    "exists": _exists,
    "all": _all,
    "exists_one": _exists_one,
    "filter": _filter,
}
