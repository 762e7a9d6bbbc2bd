"""Why a rule is true, false or an error on a verdict: each of its comparisons with its values."""

import ast
from collections.abc import Iterator
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache
from typing import Any, Literal

from worker.policy import python_code as py
from worker.policy.compiled import Scope, Value
from worker.policy.compiler import Compiler
from worker.policy.judged import Judged
from worker.policy.macros import MACROS
from worker.policy.policy import Policy
from worker.policy.program import PARAMETERS, build_function
from worker.policy.syntax import Node

Outcome = Literal["true", "false", "error", "not applied"]
_MAX_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Step:
    """A comparison, or another part of a rule that has no `&&`, `||`, `!` or `?:` in it.

    Attributes:
        text: as the rule has it.
        values: of its operands that are no literals, by their text; what is an error is left out.
    """

    text: str
    outcome: Outcome
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a rule makes of a verdict.

    Attributes:
        outcome: `not applied` for another tenant or day.
    """

    rule: str
    action: str
    outcome: Outcome
    steps: tuple[Step, ...]


class Explainer:
    """Explains the decisions of a policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._probes = cache(self._compile_probes)

    def explain(self, verdict: Judged) -> list[Explanation]:
        """Each rule of the policy on this verdict, in their order."""
        matched, failed = self._policy.matches(verdict)
        found = []
        for number, rule in enumerate(self._policy.file.rules):
            outcome: Outcome = "false"
            if not self._policy.applies(rule, verdict):
                outcome = "not applied"
            elif number in matched:
                outcome = "true"
            elif number in failed:
                outcome = "error"
            steps = () if outcome == "not applied" else self._steps(number, verdict)
            found.append(Explanation(rule.name, rule.action, outcome, steps))
        return found

    def _steps(self, number: int, verdict: Judged) -> tuple[Step, ...]:
        limits = self._policy.thresholds_of(verdict.tenant)
        given = (verdict, verdict.judged_at[:10], limits.plain, limits.by_category)
        steps = []
        for text, probe, operands in self._probes(number):
            yes, no = probe(*given)
            outcome: Outcome = "true" if yes else "false" if no else "error"
            read = {name: held for name, of in operands for held in of(*given)}
            steps.append(Step(text, outcome, {name: _shown(held) for name, held in read.items()}))
        return tuple(steps)

    def _compile_probes(self, number: int) -> list[tuple[str, Any, list[tuple[str, Any]]]]:
        text, node = self._policy.file.rules[number].when, self._policy.program.nodes[number]
        thresholds = self._policy.program.scope.thresholds
        probes = []
        for part in _parts(node):
            scope = Scope(thresholds)
            condition = Compiler(scope).condition(part)
            pair = ast.Tuple([condition.yes, condition.no], ast.Load())
            operands = [
                (_text(text, child), _reader(thresholds, child))
                for child in (part.children[:1] if _is_macro(part) else part.children)
                if child.kind in {"name", "select", "index", "call", "method"}
            ]
            probe = build_function(scope, PARAMETERS, [ast.Return(pair)])
            probes.append((_text(text, part), probe, operands))
        return probes


def _is_macro(node: Node) -> bool:
    # its second operand is its variable, its third the condition on it
    return node.kind == "method" and node.value in MACROS


def _parts(node: Node) -> Iterator[Node]:
    if node.kind in {"&&", "||", "!", "choice"}:
        for child in node.children:
            yield from _parts(child)
    else:
        yield node


def _reader(thresholds: Any, node: Node) -> Any:
    """A function to a list of the value, which is empty where it is an error."""
    scope = Scope(thresholds)
    value: Value = Compiler(scope).value(node)
    held = ast.List([value.code], ast.Load())
    found = ast.IfExp(py.both(value.needs), held, ast.List([], ast.Load()))
    return build_function(scope, PARAMETERS, [ast.Return(found)])


def _text(rule: str, node: Node) -> str:
    return " ".join(rule[node.start : node.end].split())


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _MAX_SHOWN else f"{value[: _MAX_SHOWN - 1]}…"
    if isinstance(value, list | tuple):
        return [_shown(one) for one in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
