"""Compiles a rule's expression, and finds in it what cannot be.

An expression becomes two tests: whether it is true, and whether it is false. It is an error where
neither holds, so that an error in an operand of `&&` and `||` counts only if the other operand does
not decide: CEL's meaning, without an exception on the way.
"""

import ast
from collections.abc import Mapping
from typing import Any

from worker.policy import python_code as py
from worker.policy.compiled import Condition, Scope, Value, check_text, checked, named
from worker.policy.functions import FUNCTIONS, METHODS
from worker.policy.macros import MACROS, has
from worker.policy.syntax import Node
from worker.policy.types import (
    BOOL,
    DOUBLE,
    INT,
    NAMES,
    NULL,
    STRING,
    TASKS,
    Type,
    are_comparable,
    common_type,
    described,
    is_map,
    list_of,
)

# operators that use their operands twice; more of them below each other would take too much code
_MAX_FORKS = 4
_TYPES: dict[type, Type] = {bool: BOOL, int: INT, float: DOUBLE, str: STRING, type(None): NULL}
_LARGEST = 2**63 - 1


class Compiler:
    """Compiles the parts of one rule.

    Args:
        scope: what the policy's rules share.
        variables: of the macros around this part.
    """

    def __init__(self, scope: Scope, variables: Mapping[str, Value] | None = None) -> None:
        self.scope = scope
        self.variables = dict(variables or {})

    def within(self, name: str, item: Value) -> "Compiler":
        """A compiler for the body of a macro, with its variable."""
        return Compiler(self.scope, self.variables | {name: item})

    def condition(self, node: Node) -> Condition:
        """A part that is true or false.

        Raises:
            InvalidRule: it is something else, or names what does not exist.
        """
        found = self._compile(node)
        if found.forks > _MAX_FORKS:
            raise node.fault("too many conditions inside each other: use several rules")
        if isinstance(found, Condition):
            return found
        if found.type.name != BOOL.name:
            raise node.fault(f"this is {described(found.type)}; a condition is true or false")
        return checked(found.given, found.code, found.forks)

    def value(self, node: Node) -> Value:
        """A part that has a value.

        Raises:
            InvalidRule: as in `condition`.
        """
        found = self._compile(node)
        if isinstance(found, Condition):
            found = found.as_value()
        if found.forks > _MAX_FORKS:
            raise node.fault("too many conditions inside each other: use several rules")
        return found

    def _compile(self, node: Node) -> Condition | Value:
        if node.kind in _LOGIC:
            return self._logic(node)
        if node.kind in _ORDER:
            return self._order(node)
        if node.kind in {"==", "!="}:
            return self._equality(node)
        if node.kind in {"+", "-", "*"}:
            return self._arithmetic(node)
        compile_kind = getattr(self, f"_{node.kind}", None)
        if compile_kind is None:
            raise node.fault(f"the operator {node.kind} is not offered")
        found: Condition | Value = compile_kind(node)
        return found

    def _logic(self, node: Node) -> Condition:
        parts = [self.condition(child) for child in node.children]
        yes, no = [part.yes for part in parts], [part.no for part in parts]
        certain, forks = all(part.is_certain for part in parts), max(part.forks for part in parts)
        if node.kind == "!":
            return Condition(no[0], yes[0], certain, forks)
        if node.kind == "&&":
            return Condition(py.both(yes), py.either(no), certain, forks)
        return Condition(py.either(yes), py.both(no), certain, forks)

    def _order(self, node: Node) -> Condition:
        left, right = self._operands(node)
        kinds = {left.type.name, right.type.name}
        if not (kinds == {"string"} or (left.type.is_number and right.type.is_number)):
            raise node.fault(
                f"{node.kind} compares {described(left.type)} with {described(right.type)};"
                " it takes two numbers or two strings"
            )
        test = py.compare(left.code, node.kind, right.code)
        return checked((*left.given, *right.given), test, max(left.forks, right.forks))

    def _equality(self, node: Node) -> Condition:
        left, right = self._operands(node)
        if not are_comparable(left.type, right.type):
            raise node.fault(
                f"{node.kind} compares {described(left.type)} with {described(right.type)},"
                " which are never equal"
            )
        for one, other in ((left, right), (right, left)):
            check_text(node, one, other.type)
        codes = [left.code, right.code]
        if left.type.element is not None:
            # a literal list is a tuple, the result of filter() a list
            codes = [py.call(py.name("tuple"), code) for code in codes]
        test = py.compare(codes[0], "==", codes[1])
        forks = max(left.forks, right.forks)
        found = checked((*left.needs, *right.needs), test, forks)
        if node.kind == "==":
            return found
        return Condition(found.no, found.yes, found.is_certain, forks)

    def _arithmetic(self, node: Node) -> Value:
        left, right = self._operands(node)
        kind = left.type.name
        takes = {"int", "double", "string"} if node.kind == "+" else {"int", "double"}
        if kind != right.type.name or kind not in takes:
            raise node.fault(
                f"{node.kind} takes two integers or two doubles (1.0)"
                f"{' or two strings' if node.kind == '+' else ''},"
                f" not {described(left.type)} and {described(right.type)}"
            )
        code = py.calculate(left.code, node.kind, right.code)
        needs = (*left.given, *right.given)
        if kind == INT.name:
            fits = ast.Compare(
                py.const(-_LARGEST - 1), [ast.LtE(), ast.LtE()], [code, py.const(_LARGEST)]
            )
            needs = (*needs, fits)
        plain = {"int": INT, "double": DOUBLE, "string": STRING}[kind]
        forks = max(left.forks, right.forks) + (kind == INT.name)
        return Value(plain, needs, code, forks=forks)

    def _negative(self, node: Node) -> Value:
        of = self.value(node.children[0])
        if not of.type.is_number:
            raise node.fault(f"- takes a number, not {described(of.type)}")
        plain = INT if of.type.name == INT.name else DOUBLE
        code = ast.UnaryOp(ast.USub(), of.code)
        needs = of.given
        if plain is INT:
            needs = (*needs, py.compare(of.code, ">=", py.const(-_LARGEST)))
        return Value(plain, needs, code, forks=of.forks)

    def _choice(self, node: Node) -> Condition | Value:
        when = self.condition(node.children[0])
        first, second = (self.value(child) for child in node.children[1:])
        kind = common_type(first.type, second.type)
        if kind is None or not kind.is_scalar:
            raise node.fault(
                f"the two values of ?: are {described(first.type)} and {described(second.type)}"
            )
        forks = max(when.forks, first.forks, second.forks) + 1
        met = py.either((py.both((when.yes, *first.needs)), py.both((when.no, *second.needs))))
        is_certain = when.is_certain and not first.needs and not second.needs
        code = ast.IfExp(when.yes, first.code, second.code)
        return Value(kind, () if is_certain else (met,), code, forks=forks)

    def _in(self, node: Node) -> Condition:
        left, right = self._operands(node)
        if is_map(right.type):
            if left.type.name != STRING.name:
                raise node.fault(f"the keys of a map are strings, not {described(left.type)}")
            return checked(
                (*left.given, *right.needs), py.compare(left.code, "in", right.code), left.forks
            )
        element = right.type.element
        if element is None:
            raise node.fault(f"in takes a list or a map, not {described(right.type)}")
        if element is not NULL and not are_comparable(left.type, element):
            raise node.fault(f"{described(left.type)} is never in {described(right.type)}")
        check_text(node, left, element)
        items = node.children[1]
        if items.kind == "list":
            for child in items.children:
                check_text(child, self.value(child), left.type)
        test = py.compare(left.code, "in", right.code)
        return checked((*left.needs, *right.needs), test, max(left.forks, right.forks))

    def _literal(self, node: Node) -> Value:
        held: Any = node.value
        text = held if isinstance(held, str) else None
        return Value(_TYPES[type(held)], (), py.const(held), constant=True, text=text)

    def _name(self, node: Node) -> Value:
        found = self.variables.get(node.value) or named(self.scope, node.value)
        if found is None:
            raise node.fault(f"there is no {node.value}; a verdict has {', '.join(NAMES)}")
        return found

    def _select(self, node: Node) -> Value:
        of = self.value(node.children[0])
        return self.field(node, of, node.value)

    def field(self, node: Node, of: Value, name: str) -> Value:
        """A field of an object, or an element of a map by its name."""
        if is_map(of.type) and of.type.element is not None:
            code = self.scope.criterion(name)
            return Value(of.type.element, (*of.needs, py.is_given(code)), code, forks=of.forks)
        kind = (of.type.fields or {}).get(name)
        if kind is None:
            has_fields = f": it has {', '.join(of.type.fields)}" if of.type.fields else ""
            raise node.fault(f"{described(of.type)} has no field {name}{has_fields}")
        task = TASKS_BY_TYPE.get(id(of.type))
        code = self.scope.variable((task, name)) if task else py.attribute(of.code, name)
        return Value(kind, of.needs, code, forks=of.forks)

    def _index(self, node: Node) -> Value:
        of, key = self._operands(node)
        if is_map(of.type) and key.text is not None:
            return self.field(node, of, key.text)
        wanted = STRING if is_map(of.type) else INT
        if of.type.element is None or key.type.name != wanted.name:
            raise node.fault(f"{described(of.type)} has no element by {described(key.type)}")
        if is_map(of.type):
            inside = (*key.given, py.compare(key.code, "in", of.code))
        else:
            length = py.call(py.name("len"), of.code)
            inside = (
                *key.given,
                py.compare(key.code, ">=", py.const(0)),
                py.compare(key.code, "<", length),
            )
        forks = max(of.forks, key.forks)
        return Value(of.type.element, (*of.needs, *inside), py.item(of.code, key.code), forks=forks)

    def _list(self, node: Node) -> Value:
        items = [self.value(child) for child in node.children]
        element: Type | None = items[0].type if items else NULL
        for child, one in zip(node.children, items, strict=True):
            element = common_type(element, one.type) if element else None
            if element is None or not element.is_scalar:
                raise child.fault("a list has strings, numbers or conditions, all of one type")
        needs = tuple(need for one in items for need in one.needs)
        held = [one.code for one in items]
        # a set and a tuple of constants are made once
        code: ast.expr = ast.Tuple(held, ast.Load())
        forks = max((one.forks for one in items), default=0)
        return Value(list_of(element or NULL), needs, code, forks=forks)

    def _call(self, node: Node) -> Condition | Value:
        if node.value == "has":
            return has(self, node)
        function = FUNCTIONS.get(node.value)
        if function is None:
            raise node.fault(
                f"there is no function {node.value}(); there are has, {', '.join(FUNCTIONS)}"
            )
        return function(self, node)

    def _method(self, node: Node) -> Condition | Value:
        method = MACROS.get(node.value) or METHODS.get(node.value)
        if method is None:
            raise node.fault(
                f"there is no function .{node.value}(); there are {', '.join([*MACROS, *METHODS])}"
            )
        return method(self, node)

    def _operands(self, node: Node) -> tuple[Value, Value]:
        left, right = (self.value(child) for child in node.children)
        return left, right


# which answer a type belongs to: each task has a type with its labels
TASKS_BY_TYPE = {id(NAMES[name]): name for name in TASKS}
_LOGIC = frozenset({"&&", "||", "!"})
_ORDER = frozenset({"<", "<=", ">", ">="})
