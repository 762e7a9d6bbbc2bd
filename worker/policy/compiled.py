"""What a part of a rule becomes, and the names that it may use."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.policy import python_code as py
from worker.policy.syntax import Node
from worker.policy.types import BOOL, FULL_NAMES, NAMES, TASKS, Type


@dataclass(frozen=True, slots=True)
class Value:
    """An expression that has a value.

    Attributes:
        needs: all of these must hold, in this order; otherwise its evaluation is an error.
        code: its value; evaluated only where `needs` hold.
        constant: whether it is a literal.
        text: of a literal string.
        forks: how many operators below each other duplicate their operands.
    """

    type: Type
    needs: tuple[ast.expr, ...]
    code: ast.expr
    constant: bool = False
    text: str | None = None
    forks: int = 0

    @property
    def given(self) -> tuple[ast.expr, ...]:
        """What must hold for it to have a value that is not null."""
        return (*self.needs, py.is_given(self.code)) if self.type.nullable else self.needs


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression that is true, false or an error: neither `yes` nor `no` holds then.

    Attributes:
        is_certain: whether it cannot be an error.
    """

    yes: ast.expr
    no: ast.expr
    is_certain: bool
    forks: int = 0

    def as_value(self) -> Value:
        """The same, as a value."""
        needs = () if self.is_certain else (py.either((self.yes, self.no)),)
        return Value(BOOL, needs, self.yes, forks=self.forks + (not self.is_certain))


def checked(needs: tuple[ast.expr, ...], test: ast.expr, forks: int = 0) -> Condition:
    """A test that is an error where one of `needs` does not hold."""
    return Condition(py.both((*needs, test)), py.both((*needs, py.negated(test))), not needs, forks)


@dataclass(slots=True)
class Scope:
    """The names that a rule may use, and the variables that they become.

    Attributes:
        thresholds: the names of all thresholds.
        set_up: variables of the compiled function, by name, with what is assigned to them first.
        constants: objects that compiled code calls, by name.
    """

    thresholds: Mapping[str, int]
    set_up: dict[str, ast.expr] = field(default_factory=dict)
    constants: dict[str, Callable[..., Any]] = field(default_factory=dict)
    _patterns: dict[str, str] = field(default_factory=dict)

    def variable(self, path: tuple[str, ...]) -> ast.expr:
        """The variable for a field of the verdict, such as ("prompt", "score")."""
        name = "_".join(("v", *path))
        if name not in self.set_up:
            code = py.name("verdict")
            for part in path:
                code = py.attribute(code, part)
            self.set_up[name] = code
        return py.name(name)

    def criterion(self, key: str) -> ast.expr:
        """The variable for the answer to a criterion; None where a verdict has none."""
        of = self.variable(("criteria",))
        return self._variable("criterion", key, py.call(py.attribute(of, "get"), py.const(key)))

    def threshold(self, name: str) -> ast.expr:
        """The variable for a threshold of the verdict's tenant."""
        at = self.thresholds[name]
        return self._variable("threshold", name, py.item(py.name("thresholds"), py.const(at)))

    def category_thresholds(self, name: str) -> ast.expr:
        """The variable for the method that finds a threshold for a category."""
        at = py.const(self.thresholds[name])
        of = py.item(py.name("by_category"), at)
        return self._variable("category_threshold", name, py.attribute(of, "get"))

    def constant(self, key: str, made: Callable[..., Any]) -> ast.expr:
        """The name of an object that compiled code calls."""
        name = self._patterns.setdefault(key, f"constant_{len(self._patterns)}")
        self.constants[name] = made
        return py.name(name)

    def _variable(self, kind: str, key: str, code: ast.expr) -> ast.expr:
        # numbered, so that no text of the policy becomes a name
        known = self._patterns.setdefault(f"{kind}\x00{key}", f"{kind}_{len(self._patterns)}")
        self.set_up.setdefault(known, code)
        return py.name(known)


def named(scope: Scope, name: str) -> Value | None:
    """What a name in a rule is; None if there is none."""
    name = FULL_NAMES.get(name, name)
    known = NAMES.get(name)
    if known is None:
        return None
    # an answer is only used through its fields
    code = py.name("verdict") if name in TASKS else scope.variable((name,))
    return Value(known, (), code)


def check_text(node: Node, value: Value, other: Type) -> None:
    """Check that a literal string can be what it is compared with.

    Raises:
        InvalidRule: the other side is never this string.
    """
    if value.text is not None and other.values is not None and value.text not in other.values:
        raise node.fault(
            f"{value.text!r:.60} never occurs here: it is one of {', '.join(sorted(other.values))}"
        )
