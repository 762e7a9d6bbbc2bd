"""All rules of a policy as one Python function: a call for each rule would take too long."""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from types import FunctionType
from typing import Any

from worker.policy import python_code as py
from worker.policy.compiled import Condition, Scope
from worker.policy.compiler import Compiler
from worker.policy.file import PolicyFile, RuleFile
from worker.policy.judged import Judged
from worker.policy.syntax import InvalidRule, Node, parse
from worker.policy.thresholds import with_heirs

Matches = tuple[list[int], list[int]]
# the verdict, the day it was judged, and its tenant's thresholds, to the rules that are true and
# those that fail, by their numbers
Run = Callable[[Judged, str, tuple[float, ...], tuple[Mapping[str, float], ...]], Matches]
PARAMETERS = ("verdict", "day", "thresholds", "by_category")
# all that compiled code can call, with the methods of strings and the constants of its scope
_BUILTINS = {"any": any, "all": all, "bool": bool, "len": len, "sum": sum, "tuple": tuple}


@dataclass(frozen=True, slots=True)
class Program:
    """The compiled rules.

    Attributes:
        rules: the rules, as they were read.
        nodes: their expressions.
        scope: what they name.
    """

    run: Run
    rules: Sequence[RuleFile]
    nodes: Sequence[Node]
    scope: Scope


def compile_rules(file: PolicyFile) -> tuple[Program | None, list[str]]:
    """The compiled rules of a policy, or what is wrong with them."""
    scope = Scope({name: at for at, name in enumerate(file.thresholds)})
    faults, nodes, conditions = [], [], []
    for rule in file.rules:
        try:
            node = parse(rule.when)
            condition = Compiler(scope).condition(node)
        except InvalidRule as error:
            faults.append(f"rule {rule.name}, {error}")
        else:
            nodes.append(node)
            conditions.append(condition)
    if faults:
        return None, faults
    body = _body(file, scope, conditions)
    run: Run = build_function(scope, PARAMETERS, body)
    return Program(run, file.rules, nodes, scope), []


def _body(file: PolicyFile, scope: Scope, conditions: Sequence[Condition]) -> list[ast.stmt]:
    statements: list[ast.stmt] = [
        ast.Assign([py.stored("matched")], ast.List([], ast.Load())),
        ast.Assign([py.stored("failed")], ast.List([], ast.Load())),
    ]
    numbered = enumerate(zip(file.rules, conditions, strict=True))
    # rules of the same tenants and days in sequence are checked for those once
    for where, group in groupby(numbered, key=lambda one: _where(file, one[1][0])):
        tests = [_test(number, condition) for number, (_, condition) in group]
        applies = _applies(where, scope)
        statements += tests if applies is py.TRUE else [ast.If(applies, tests, [])]
    found = ast.Tuple([py.name("matched"), py.name("failed")], ast.Load())
    return [*statements, ast.Return(found)]


_Where = tuple[frozenset[str] | None, date | None, date | None]


def _where(file: PolicyFile, rule: RuleFile) -> _Where:
    tenants = None if rule.tenants is None else with_heirs(file, rule.tenants)
    return tenants, rule.effective_from, rule.effective_until


def _applies(where: _Where, scope: Scope) -> ast.expr:
    tenants, first, last = where
    tests = []
    if tenants is not None:
        tests.append(py.compare(scope.variable(("tenant",)), "in", py.const(tenants)))
    # days in ISO 8601 are in order as text
    if first is not None:
        tests.append(py.compare(py.name("day"), ">=", py.const(first.isoformat())))
    if last is not None:
        tests.append(py.compare(py.name("day"), "<=", py.const(last.isoformat())))
    return py.both(tests)


def _test(number: int, condition: Condition) -> ast.stmt:
    otherwise: list[ast.stmt] = []
    if not condition.is_certain:
        otherwise = [ast.If(py.negated(condition.no), [_append("failed", number)], [])]
    return ast.If(condition.yes, [_append("matched", number)], otherwise)


def _append(name: str, number: int) -> ast.stmt:
    return ast.Expr(py.call(py.attribute(py.name(name), "append"), py.const(number)))


def build_function(scope: Scope, parameters: Sequence[str], body: list[ast.stmt]) -> Any:
    """A Python function of a body that uses the variables of a scope."""
    set_up = [ast.Assign([py.stored(name)], code) for name, code in scope.set_up.items()]
    arguments = ast.arguments([], [ast.arg(one) for one in parameters], None, [], [], None, [])
    function = ast.FunctionDef("decide", arguments, [*set_up, *body], [])
    module = ast.fix_missing_locations(ast.Module([function], []))
    code = next(
        one for one in compile(module, "<policy>", "exec").co_consts if hasattr(one, "co_code")
    )
    return FunctionType(code, {"__builtins__": _BUILTINS, **scope.constants})
