"""A test that asserts nothing passes whatever the worker does."""

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]
CHECKS = ("raises", "warns", "fail")


def functions(tree):
    return {
        node.name: node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def asserts(node, helpers, seen=frozenset()):
    """Whether it, or a helper that it calls, has an assertion."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assert):
            return True
        if isinstance(inner, ast.Call):
            name = ast.unparse(inner.func).rpartition(".")[2]
            if name in CHECKS:
                return True
            if (
                name in helpers
                and name not in seen
                and asserts(helpers[name], helpers, seen | {name})
            ):
                return True
    return False


def test_every_test_asserts():
    paths = sorted(TESTS.rglob("*.py"))
    trees = {path: ast.parse(path.read_text("utf-8")) for path in paths}
    shared = functions(trees[TESTS / "contract" / "engines.py"])
    found, silent = 0, []
    for path, tree in trees.items():
        if not path.name.startswith("test_"):
            continue
        here = functions(tree)
        for name, node in here.items():
            if name.startswith("test_"):
                found += 1
                if not asserts(node, shared | here):
                    silent.append(f"{path.relative_to(TESTS)}: {name}")
    assert found > 500
    assert silent == []
