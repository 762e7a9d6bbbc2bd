"""The functions that rules can call: `size`, `threshold`, and those of strings."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from worker.domain.patterns import Pattern
from worker.policy import python_code as py
from worker.policy.compiled import Condition, Value, checked
from worker.policy.syntax import Node
from worker.policy.types import DOUBLE, INT, STRING, described

if TYPE_CHECKING:
    from worker.policy.compiler import Compiler


def _size(compiler: "Compiler", node: Node) -> Value:
    (of,) = _given(compiler, node, 1, "size(x) or x.size()")
    if of.type.name != STRING.name and of.type.element is None:
        raise node.fault(f"size() takes a string, a list or a map, not {described(of.type)}")
    return Value(INT, of.given, py.call(py.name("len"), of.code), forks=of.forks)


def _threshold(compiler: "Compiler", node: Node) -> Value:
    if len(node.children) not in (1, 2):
        raise node.fault('threshold() is called as threshold("name") or threshold("name", code)')
    name = compiler.value(node.children[0]).text
    known = compiler.scope.thresholds
    if name is None or name not in known:
        raise node.fault(
            f"threshold() takes the name of a threshold as a literal: {', '.join(known) or 'none'}"
        )
    plain = compiler.scope.threshold(name)
    if len(node.children) == 1:
        return Value(DOUBLE, (), plain)
    code = compiler.value(node.children[1])
    if code.type.name != STRING.name:
        raise node.fault(f"a category's code is a string, not {described(code.type)}")
    find = compiler.scope.category_thresholds(name)
    return Value(DOUBLE, code.given, py.call(find, code.code, plain), forks=code.forks)


def _of_strings(method: str) -> Callable[["Compiler", Node], Condition]:
    def compile_call(compiler: "Compiler", node: Node) -> Condition:
        text, part = _strings(compiler, node)
        test = py.call(py.attribute(text.code, method), part.code)
        return checked((*text.given, *part.given), test, max(text.forks, part.forks))

    return compile_call


def _contains(compiler: "Compiler", node: Node) -> Condition:
    text, part = _strings(compiler, node)
    test = py.compare(part.code, "in", text.code)
    return checked((*text.given, *part.given), test, max(text.forks, part.forks))


def _matches(compiler: "Compiler", node: Node) -> Condition:
    text, pattern = _strings(compiler, node)
    if pattern.text is None:
        raise node.fault("matches() takes a pattern that is a literal string")
    try:
        compiled = Pattern(pattern.text)
    # re2's own class of error, which only worker.domain.patterns may import
    except Exception as error:  # noqa: BLE001
        detail = error.args[0] if error.args else ""
        reason = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
        raise node.fault(f"not a pattern of RE2 ({reason[:100]})") from None
    found_in = compiler.scope.constant(f"pattern\x00{pattern.text}", compiled.found_in)
    return checked(text.given, py.call(found_in, text.code), text.forks)


def _strings(compiler: "Compiler", node: Node) -> tuple[Value, Value]:
    text, part = _given(compiler, node, 2, f"text.{node.value}(text)")
    for one in (text, part):
        if one.type.name != STRING.name:
            raise node.fault(f"{node.value}() takes strings, not {described(one.type)}")
    return text, part


def _given(compiler: "Compiler", node: Node, count: int, usage: str) -> list[Value]:
    if len(node.children) != count:
        raise node.fault(f"{node.value}() is called as {usage}")
    return [compiler.value(child) for child in node.children]


Function = Callable[["Compiler", Node], Condition | Value]
FUNCTIONS: dict[str, Function] = {"size": _size, "threshold": _threshold, "matches": _matches}
METHODS: dict[str, Function] = {
    "size": _size,
    "startsWith": _of_strings("startswith"),
    "endsWith": _of_strings("endswith"),
    "contains": _contains,
    "matches": _matches,
}
