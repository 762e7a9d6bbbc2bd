"""JMESPath expressions over untrusted data, with functions for what JMESPath lacks.

An expression is compiled once. Its cost is linear in the size of the value: JMESPath has no loops
and no access to what lies around a value, and each function below is linear too.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jmespath
from jmespath import functions
from jmespath.exceptions import JMESPathError
from jmespath.visitor import Options, TreeInterpreter

from worker.decoding.bodies import is_stream, merge, messages_of, parse_body
from worker.decoding.compiled import Compiler
from worker.decoding.content import read_content
from worker.decoding.json_values import parse_json
from worker.domain.errors import GuardstreamError, NotAnEvent

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": 1_000_000.0, "ms": 1_000.0, "us": 1.0, "ns": 0.001}
_MAX_INTEGER_CHARACTERS = 20
# of nested values in OTLP's encoding, so that a hostile one cannot exhaust the stack
_MAX_DEPTH = 100


class InvalidExpression(GuardstreamError):  # noqa: N818
    """Text that is not a JMESPath expression, or calls a function that does not exist."""


class ExpressionFailed(GuardstreamError):  # noqa: N818
    """An expression cannot be evaluated on this value."""


class _Functions(functions.Functions):
    """The functions of JMESPath, and those that mappings need."""

    @functions.signature({"types": []})
    def _func_parse_json(self, text: Any) -> Any:
        """The JSON in a string; other values unchanged, null for a string that is not JSON."""
        if not isinstance(text, str):
            return text
        try:
            return parse_json(text.encode("utf-8", "surrogatepass"))
        except NotAnEvent:
            return None

    @functions.signature({"types": []})
    def _func_text_of(self, content: Any) -> str | None:
        """The text of a message's content in any of the known formats; null if it has none."""
        if content is None:
            return None
        try:
            return read_content(content, "content")[0]
        except NotAnEvent:
            return None

    @functions.signature({"types": []}, {"types": []}, {"types": []})
    def _func_chain(self, nodes: Any, last: Any, parent: Any) -> list[Any] | None:
        """The path from a node back through its parents, from the oldest node to `last`.

        `nodes` is an object of nodes by id, or an array of nodes with an `id`; `parent` is the key
        that holds the id of a node's parent.
        """
        if isinstance(nodes, list):
            nodes = {
                node["id"]: node
                for node in nodes
                if isinstance(node, dict) and isinstance(node.get("id"), str)
            }
        if not isinstance(nodes, dict) or not isinstance(last, str):
            return None
        found: dict[str, Any] = {}
        while isinstance(last, str) and last in nodes and last not in found:
            node = found[last] = nodes[last]
            last = node.get(parent) if isinstance(node, dict) else None
        return [*reversed(found.values())]

    @functions.signature({"types": []}, {"types": []})
    def _func_time(self, value: Any, unit: Any) -> str | None:
        """A number, or digits, as a time in RFC 3339; `unit` is s, ms, us or ns."""
        microseconds = _UNITS.get(unit) if isinstance(unit, str) else None
        if microseconds is None or isinstance(value, bool):
            return None
        try:
            if isinstance(value, str):
                value = float(value[:_MAX_INTEGER_CHARACTERS])
            return (_EPOCH + timedelta(microseconds=value * microseconds)).isoformat()
        except (TypeError, ValueError, OverflowError):
            return None

    @functions.signature({"types": []}, {"types": []})
    def _func_messages_of(self, body: Any, role: Any) -> list[Any] | None:
        """The messages of a body of a chat API; `role` is for messages without one."""
        return messages_of(body, role if isinstance(role, str) else "user")

    @functions.signature({"types": []})
    def _func_parse_body(self, value: Any) -> Any:
        """The JSON in a string if it has messages; the value unchanged if not."""
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            return parse_body(value, self._func_parse_json(value))
        return value

    @functions.signature({"types": []})
    def _func_is_stream(self, value: Any) -> bool:
        """Whether a value is a part of a streamed response, or a list of them."""
        return is_stream(value)

    @functions.signature({"types": []}, {"types": []})
    def _func_merge_by(self, items: Any, key: Any) -> list[Any]:
        """Objects with the same value of a key as one, later fields over earlier ones."""
        return merge(items, key)

    @functions.signature({"types": []})
    def _func_otlp(self, value: Any) -> Any:
        """The plain value of OTLP's encoding: of an attribute list an object, by keys."""
        return _plain(value, _MAX_DEPTH)


def _plain(value: Any, depth: int) -> Any:
    if not depth:
        return None
    if isinstance(value, list):
        return {
            pair["key"]: _plain(pair.get("value"), depth - 1)
            for pair in value
            if isinstance(pair, dict) and isinstance(pair.get("key"), str)
        }
    if not isinstance(value, dict):
        return value
    for name, held in value.items():
        if (read := _OTLP_VALUES.get(name)) is not None:
            return read(held, depth - 1)
    return None


def _scalar(value: Any, _: int) -> Any:
    return value


def _integer(value: Any, _: int) -> Any:
    # a string in JSON, since JavaScript's numbers are too short
    digits = isinstance(value, str) and len(value) <= _MAX_INTEGER_CHARACTERS
    return int(value) if digits and value.removeprefix("-").isdecimal() else value


def _array(value: Any, depth: int) -> list[Any]:
    items = value.get("values") if isinstance(value, dict) else None
    return [_plain(item, depth) for item in items] if isinstance(items, list) else []


def _pairs(value: Any, depth: int) -> Any:
    pairs = value.get("values") if isinstance(value, dict) else None
    return _plain(pairs if isinstance(pairs, list) else [], depth)


# OTLP wraps each value in an object with one of these keys, of JSON or of Protobuf
_OTLP_VALUES: dict[str, Callable[[Any, int], Any]] = {
    "stringValue": _scalar,
    "intValue": _integer,
    "boolValue": _scalar,
    "doubleValue": _scalar,
    "arrayValue": _array,
    "kvlistValue": _pairs,
    "bytesValue": _scalar,
    "string_value": _scalar,
    "int_value": _integer,
    "bool_value": _scalar,
    "double_value": _scalar,
    "array_value": _array,
    "kvlist_value": _pairs,
}

_FUNCTIONS = _Functions()
_COMPILER = Compiler(TreeInterpreter(Options(custom_functions=_FUNCTIONS)), _FUNCTIONS)
_NAMES = frozenset(_FUNCTIONS.FUNCTION_TABLE)


class Expression:
    """A compiled expression.

    Args:
        text: JMESPath.

    Raises:
        InvalidExpression: it cannot be compiled.
    """

    __slots__ = ("_evaluate", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            parsed = jmespath.compile(text).parsed
        except JMESPathError as error:
            raise InvalidExpression(_in_a_line(error)) from None
        _check(parsed)
        self._evaluate = _COMPILER.compile(parsed)

    def evaluate(self, data: Any) -> Any:
        """The result; None where the data has nothing there.

        Raises:
            ExpressionFailed: a function was given a value that it does not take.
        """
        try:
            return self._evaluate(data)
        # the library's errors, and Python's, as for a comparison of text with a number; their
        # messages contain the value
        except Exception as error:  # noqa: BLE001
            raise ExpressionFailed(type(error).__name__) from None

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


def _check(node: Any) -> None:
    """Raises InvalidExpression for mistakes that the library does not find or finds too late."""
    if not isinstance(node, dict):
        return
    kind, children = node.get("type"), node.get("children", ())
    if kind == "function_expression" and node["value"] not in _NAMES:
        raise InvalidExpression(f"There is no function {node['value']}().")
    if kind == "subexpression" and children[0]["type"] == "not_expression":
        # a path from true or false, which is always null
        raise InvalidExpression("The operator ! applies to the first key only: write !(a.b).")
    for child in children:
        _check(child)


def _in_a_line(error: JMESPathError) -> str:
    return " ".join(str(error).split()).removesuffix("^").rstrip()
