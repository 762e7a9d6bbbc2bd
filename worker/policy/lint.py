"""What is allowed in a policy, and probably a mistake."""

from collections.abc import Iterator
from datetime import date

from worker.policy.file import PolicyFile
from worker.policy.policy import Policy
from worker.policy.syntax import Node
from worker.policy.types import FULL_NAMES, NAMES

_OPTIONAL_FIELDS = frozenset({"label", "score", "source"})
_OPTIONAL_NAMES = frozenset(name for name, kind in NAMES.items() if kind.nullable)
_FAILS_ON_NULL = frozenset({"<", "<=", ">", ">=", "+", "-", "*", "negative", "method"})


def warnings(policy: Policy, today: date) -> list[str]:
    """Sentences on what is probably wrong."""
    return [
        *_unused(policy),
        *_unknown_tenants(policy.file),
        *_out_of_date(policy.file, today),
        *_same_conditions(policy.file),
        *(
            f"rule {rule.name}, line {node.line}, column {node.column}: fails on a verdict in which"
            f" {_path(node)} is null; write has({_path(node)}) && before it"
            if node.kind == "select"
            else f"rule {rule.name}, line {node.line}, column {node.column}: fails on a verdict in"
            f" which {_path(node)} is null; write {_path(node)} != null && before it"
            for rule, tree in zip(policy.file.rules, policy.program.nodes, strict=True)
            for node in _unguarded(tree)
        ),
    ]


def _unused(policy: Policy) -> Iterator[str]:
    used = {
        node.children[0].value
        for tree in policy.program.nodes
        for node in tree.walk()
        if node.kind == "call" and node.value == "threshold"
    }
    for name in policy.file.thresholds:
        if name not in used:
            yield f"thresholds.{name}: no rule uses it"


def _unknown_tenants(file: PolicyFile) -> Iterator[str]:
    if not file.tenants:
        return
    for rule in file.rules:
        for tenant in rule.tenants or ():
            if tenant not in file.tenants:
                yield f"rule {rule.name}: `tenants` of the policy does not name {tenant}"


def _out_of_date(file: PolicyFile, today: date) -> Iterator[str]:
    if file.effective_until and file.effective_until < today:
        yield f"the policy was in effect until {file.effective_until}: its default action applies"
    if file.effective_from and file.effective_from > today:
        yield f"the policy is in effect from {file.effective_from}: its default action applies"
    for rule in file.rules:
        if rule.effective_until and rule.effective_until < today:
            yield f"rule {rule.name}: was in effect until {rule.effective_until}"


def _same_conditions(file: PolicyFile) -> Iterator[str]:
    seen: dict[object, str] = {}
    for rule in file.rules:
        where = (tuple(sorted(rule.tenants or ())), rule.effective_from, rule.effective_until)
        key = (rule.when.strip(), where)
        if key in seen:
            yield f"rule {rule.name}: has the condition of the rule {seen[key]}"
        seen.setdefault(key, rule.name)


def _unguarded(tree: Node) -> Iterator[Node]:
    """Parts that can be null, are used where null is an error, and are not tested for null."""
    tested = set()
    for node in tree.walk():
        if node.kind == "call" and node.value == "has":
            tested.add(_path(node.children[0]))
        if node.kind in {"==", "!="} and any(
            child.kind == "literal" and child.value is None for child in node.children
        ):
            tested.update(_path(child) for child in node.children)
    for node in tree.walk():
        if node.kind not in _FAILS_ON_NULL:
            continue
        for child in node.children:
            is_optional = (child.kind == "select" and child.value in _OPTIONAL_FIELDS) or (
                child.kind == "name" and child.value in _OPTIONAL_NAMES
            )
            if is_optional and _path(child) not in tested:
                tested.add(_path(child))
                yield child


def _path(node: Node) -> str:
    if node.kind == "name":
        return FULL_NAMES.get(node.value, str(node.value))
    if node.kind == "select":
        return f"{_path(node.children[0])}.{node.value}"
    if node.kind == "index":
        of, key = node.children
        return f"{_path(of)}[{key.value!r}]"
    return node.kind
