"""The rules of the package tree, each also seen failing on a tree that breaks it."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES = 300
MAX_PARAMETERS = 8
MAX_LAYERS = 9
MAX_FILES_WITH_A_TASK = 5
IN_THE_ROOT = {"__init__.py", "__main__.py", "py.typed"}
CORE = ("domain", "decoding", "guards", "telemetry", "engine", "delivery", "policy", "flow")
NOT_IN_THE_CORE = ("opentelemetry.sdk", "aiokafka", "vllm", "worker.adapters")


def modules(folder):
    return sorted(folder.rglob("*.py"))


def long_modules(root):
    return [
        path.name
        for path in modules(root / "worker")
        if len(path.read_text(encoding="utf-8").splitlines()) > MAX_LINES
    ]


def misplaced(root):
    return [
        path.name
        for path in (root / "worker").iterdir()
        if not path.is_dir() and path.name not in IN_THE_ROOT
    ]


def layers_over_the_limit(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return layers[MAX_LAYERS:]


def files_with_a_task(root):
    found = [
        path.name
        for path in sorted((root / "worker").rglob("*"))
        if path.suffix in {".py", ".md", ".json", ".jsonl", ".yaml", ".html"}
        and "prompt_harmfulness" in path.read_text(encoding="utf-8")
    ]
    return found if len(found) > MAX_FILES_WITH_A_TASK else []


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def imports_against_the_rules(root):
    return [
        f"{path.name}: {name}"
        for package in CORE
        for path in modules(root / "worker" / package)
        for name in imported(ast.parse(path.read_text(encoding="utf-8")))
        if name.startswith(tuple(f"{no}." for no in NOT_IN_THE_CORE)) or name in NOT_IN_THE_CORE
    ]


def is_parameter(field):
    """Whether an annotated name in a data class becomes a parameter of its constructor."""
    if not isinstance(field, ast.AnnAssign) or "ClassVar" in ast.unparse(field.annotation):
        return False
    return field.value is None or "init=False" not in ast.unparse(field.value)


def parameters(kind):
    """How many parameters the constructor of a class has, without `self`."""
    for node in kind.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            given = node.args
            return len([*given.posonlyargs, *given.args, *given.kwonlyargs]) - 1
    if any("dataclass" in ast.unparse(decorator) for decorator in kind.decorator_list):
        return sum(map(is_parameter, kind.body))
    return 0


def large_constructors(root):
    return [
        f"{node.name}: {parameters(node)}"
        for package in ("flow", "delivery")
        for path in modules(root / "worker" / package)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and parameters(node) > MAX_PARAMETERS
    ]


def layers_of(count):
    layers = ", ".join(f'"{number}"' for number in range(count))
    return f'[[tool.importlinter.contracts]]\ntype = "layers"\nlayers = [{layers}]\n'


NINE = "a, b, c, d, e, f, g, h, i"
FIELDS = "\n".join(f"    {name}: int" for name in NINE.split(", "))

# each with a file that breaks it
RULES = [
    (long_modules, "worker/flow/a.py", "x = 1\n" * 301),
    (misplaced, "worker/app.py", ""),
    (layers_over_the_limit, "pyproject.toml", layers_of(10)),
    (imports_against_the_rules, "worker/flow/a.py", "import aiokafka\n"),
    (imports_against_the_rules, "worker/engine/a.py", "from vllm import LLM\n"),
    (imports_against_the_rules, "worker/telemetry/a.py", "from opentelemetry import sdk\n"),
    (
        imports_against_the_rules,
        "worker/delivery/a.py",
        "def f():\n    from worker.adapters.kafka import source\n",
    ),
    (large_constructors, "worker/flow/a.py", f"class A:\n    def __init__(self, {NINE}): ...\n"),
    (
        large_constructors,
        "worker/delivery/a.py",
        f"class A:\n    def __init__(self, *, {NINE}): ...\n",
    ),
    (large_constructors, "worker/flow/a.py", f"@dataclass(slots=True)\nclass A:\n{FIELDS}\n"),
]


@pytest.mark.parametrize("rule", [*dict.fromkeys(rule for rule, *_ in RULES), files_with_a_task])
def test_the_tree_keeps_its_rules(rule):
    assert not rule(ROOT)


@pytest.mark.parametrize(("rule", "path", "text"), RULES)
def test_a_file_that_breaks_a_rule_is_found(tmp_path, rule, path, text):
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "worker").mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    assert rule(tmp_path)


def test_a_task_in_six_files_is_found(tmp_path):
    (tmp_path / "worker").mkdir()
    for number in range(MAX_FILES_WITH_A_TASK + 1):
        assert not files_with_a_task(tmp_path)
        (tmp_path / "worker" / f"{number}.py").write_text('"prompt_harmfulness"', encoding="utf-8")
    assert len(files_with_a_task(tmp_path)) == MAX_FILES_WITH_A_TASK + 1


def test_fields_that_no_constructor_takes_are_not_counted():
    source = "@dataclass\nclass A:\n    a: int\n    b: int = field(default=0, init=False)\n"
    assert parameters(ast.parse(source).body[0]) == 1
