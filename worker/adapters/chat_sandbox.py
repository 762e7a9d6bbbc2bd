"""Runs the chat template of a model, which is a program, within bounds.

Jinja's sandbox keeps it from files and from Python's internals. Jinja does not bound its time, so
each iteration of a loop and each call is counted here, and the sizes of results are checked. The
bounds stop templates that run without end; a template that is made to exhaust memory in a single
expression is not stopped.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from typing_extensions import override

MOST_STEPS = 200_000
MOST_CHARACTERS = 1 << 22
_MOST_BITS = 4096
_LONGEST_REASON = 200
# a judgement must not depend on the day on which it is made
_TODAY = datetime(2026, 1, 1, tzinfo=UTC)


class RenderingError(Exception):
    """The template cannot be compiled or rendered; the message is the reason, on one line."""


class _Generation(Extension):
    """The tags around what the model wrote, which training needs; their content is rendered."""

    tags = {"generation"}  # noqa: RUF012 - as the library declares it

    @override
    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Sandbox(ImmutableSandboxedEnvironment):
    """The environment that chat templates expect, with a count of steps."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
        )
        self.steps = 0
        self.filters |= {"tojson": _tojson, "_counted": self._counted, "_sized": _sized}
        self.globals |= {"raise_exception": _raise_exception, "strftime_now": _TODAY.strftime}
        # a text that differs each time, and one of any length
        del self.filters["random"], self.globals["lipsum"]

    def step(self) -> None:
        """Count a step of the template."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise TemplateError(f"it takes more than {MOST_STEPS:,} steps")

    def _counted(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            self.step()
            yield _sized(value)

    @override
    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.step()
        for value in (*args, *kwargs.values()):
            _sized(value)
        return _sized(super().call(context, obj, *args, **kwargs))

    @override
    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            fits = _bits(left) * max(1, abs(right)) <= _MOST_BITS
        elif isinstance(left, int) and isinstance(right, int):
            fits = _bits(left) + _bits(right) <= _MOST_BITS
        else:
            sizes = [one if isinstance(one, int | float) else len(one) for one in (left, right)]
            fits = sizes[0] * sizes[1] <= MOST_CHARACTERS
        if not fits:
            raise TemplateError("it makes a value that is too large")
        return super().call_binop(context, operator, left, right)


class SandboxedTemplate:
    """A compiled chat template.

    Args:
        source: in Jinja's language.
        tokens: variables that it always has, such as `bos_token`.

    Raises:
        RenderingError: the source is no template.
    """

    def __init__(self, source: str, tokens: Mapping[str, Any]) -> None:
        self._sandbox = _Sandbox()
        self._tokens = dict(tokens)
        self._lock = Lock()
        try:
            tree = self._sandbox.parse(source)
            _bound(tree)
            code = self._sandbox.compile(tree)
            globals_ = self._sandbox.make_globals(None)
            self._template = Template.from_code(self._sandbox, code, globals_)
        except Exception as error:  # deep nesting is a RecursionError, of Python's compiler too
            raise RenderingError(_reason(error)) from error

    def render(self, variables: Mapping[str, Any]) -> str:
        """The text that the template makes of its variables.

        Raises:
            RenderingError: it raises an error, or exceeds a bound.
        """
        given = {"tools": None, "documents": None} | self._tokens | dict(variables)
        # the steps are those of one rendering
        with self._lock:
            self._sandbox.steps = 0
            try:
                return "".join(_limited(self._template.generate(given)))
            except Exception as error:  # whatever a template's expressions raise
                raise RenderingError(_reason(error)) from error


def _limited(parts: Iterable[str]) -> Iterator[str]:
    size = 0
    for part in parts:
        size += len(part)
        if size > MOST_CHARACTERS:
            raise TemplateError(f"it writes more than {MOST_CHARACTERS:,} characters")
        yield part


def _bound(tree: nodes.Template) -> None:
    """Count what loops iterate over, and check the size of what variables are set to."""
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = _filtered(loop.iter, "_counted")
    for assignment in list(tree.find_all(nodes.Assign)):
        assignment.node = _filtered(assignment.node, "_sized")
    for block in list(tree.find_all(nodes.AssignBlock)):
        block.filter = _filtered(block.filter, "_sized")


def _filtered(node: nodes.Node | None, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno if node else 1)


def _sized(value: Any) -> Any:
    if isinstance(value, str | list | tuple) and len(value) > MOST_CHARACTERS:
        raise TemplateError("it makes a value that is too large")
    return value


def _bits(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 64


def _tojson(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - templates give it by position too
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    """JSON without the escapes for HTML that Jinja's filter adds."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:_LONGEST_REASON].rstrip(".")
    return text or type(error).__name__
