"""Texts, docstrings and comments are plain technical English, without words of a dialect."""

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.core import TyperGroup
from typer.main import get_command

from helm.values import Values
from monitoring.dashboard import build
from monitoring.rules import alerts
from worker.cli import app, register
from worker.runtime.settings import Settings
from worker.telemetry.names import METRICS

ROOT = Path(__file__).parents[2]

# each with what to write instead
DIALECT = {
    r"anew": "again, regenerate, reload",
    r"as (?:it|they) came": "unchanged",
    r"be had": "is not available",
    r"beside": "next to, with, in addition to",
    r"bur(?:y|ies|ied)": "dead-letter, dead-lettered",
    r"by lot": "at random",
    r"come by": "get",
    r"company": "more records",
    r"dearer": "more expensive",
    r"everybody|nobody|somebody|whoever": "who exactly: the worker, users, no worker",
    r"for ever": "forever, without limit",
    r"for good": "permanently",
    r"for want of": "because ... is full, missing",
    r"goes on|go on": "continues, resumes",
    r"hereabouts": "near",
    r"house": "worker, harness",
    r"in hand": "queued, in flight",
    r"in the mean": "on average",
    r"is to be": "must be, is",
    r"(?<!dead )(?<!dead-)letters?": "dead letter",
    r"look again": "check again",
    r"mend(?:s|ed|ing)?": "fix, fixed",
    r"of (?:its|their|our) own": "separate, own",
    r"(?:has|have|makes?|no|of|for) room": "space, capacity, a free slot",
    r"patien(?:t|ce)": "timeout, threshold",
    r"sa(?:y|id|ys) (?:of|so)\b": "reports",
    r"stands": "is",
    r"story": "flow",
    r"tells|told": "reports, shows",
    r"what came of": "the result of",
    r"(?<!as a )whole(?! numbers?\b)": "complete, full",
    r"wished for": "requested",
    r"work(?:s|ed)? out": "calculate",
}
# in docstrings and comments too
DIALECT_IN_PROSE = DIALECT | {
    r"amid": "in",
    r"anybody": "who exactly: users, models",
    r"as ever": "as usual",
    r"foreign": "untrusted",
    r"once more": "again",
    r"the news of": "the report",
}


def _pattern(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(rf"\b(?:{word})\b" for word in words), re.IGNORECASE)


_PATTERN = _pattern(DIALECT)
_PATTERN_IN_PROSE = _pattern(DIALECT_IN_PROSE)

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    ROOT / "Makefile",
    ROOT / "training" / "README.md",
    ROOT / "helm" / "guardstream" / "README.md",
    ROOT / "helm" / "guardstream" / "values.yaml",
    ROOT / "helm" / "guardstream" / "templates" / "NOTES.txt",
    *sorted((ROOT / "helm" / "guardstream" / "values").glob("*.yaml")),
    *sorted((ROOT / "docs").glob("*.md")),
]
# the words of a library, and a letter of the alphabet
QUOTED = {"whole buffer", "one letter"}


def dialect_in(text: str, pattern: re.Pattern[str] = _PATTERN) -> list[str]:
    """The words of `DIALECT` in a text, each with its context."""
    line = " ".join(text.split())
    return [
        f"{found[0]!r} in: …{line[max(0, found.start() - 40) : found.end() + 40]}…"
        for found in pattern.finditer(line)
    ]


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Strings of a module with words in them, without docstrings; a replacement field is `{}`."""
    apart: set[ast.expr] = {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)
    }  # docstrings, of attributes too
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            apart.update(node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            text = "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in apart:
            text = node.value
        else:
            continue
        # a word alone is a name: a key of JSON, a topic, an option
        if " " in text.strip():
            yield node.lineno, text


def prose(source: str) -> Iterator[tuple[int, str]]:
    """Docstrings and comments of a module; comments on consecutive lines are one text."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield node.lineno, text
    last = -1
    comment: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last + 1 and comment:
                yield last, " ".join(comment)
                comment = []
            last = token.start[0]
            comment.append(token.string.removeprefix("#").strip())
    if comment:
        yield last, " ".join(comment)


def _described(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, str]]:
    yield path or model.__name__, model.__doc__ or ""
    for name, field in model.model_fields.items():
        yield f"{path}{name}", field.description or ""
        kind = type(field.default)
        if issubclass(kind, BaseModel):
            yield from _described(kind, f"{path}{name}.")


def _helps() -> Iterator[tuple[str, str]]:
    register()
    program = get_command(app)
    yield "guardstream", program.help or ""
    assert isinstance(program, TyperGroup)
    yield from _helps_of(program)


def _helps_of(group: TyperGroup) -> Iterator[tuple[str, str]]:
    for name, command in group.commands.items():
        yield name, f"{command.help} {command.short_help or ''}"
        for parameter in command.params:
            yield f"{name} {parameter.name}", getattr(parameter, "help", None) or ""
        if isinstance(command, TyperGroup):
            yield from _helps_of(command)


def _watched() -> Iterator[tuple[str, str]]:
    board = build("")
    yield "dashboard", json.dumps([board["description"], board["links"], board["annotations"]])
    for panel in board["panels"]:
        yield f"panel {panel['title']}", f"{panel['title']} {panel.get('description', '')}"
    for alert in alerts():
        yield alert.name, f"{alert.summary} {alert.description}"
    for metric in METRICS:
        yield metric.name, metric.description


def _chart_refusals() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "helm" / "guardstream" / "templates").rglob("*")):
        if path.is_file():
            for message in re.findall(r"fail \(?(?:printf )?\"([^\"]+)\"", path.read_text()):
                yield path.name, message


def _in_code() -> Iterator[tuple[str, str]]:
    for package in ("worker", "training", "benchmarks", "monitoring", "helm"):
        for path in sorted((ROOT / package).rglob("*.py")):
            where = path.relative_to(ROOT).as_posix()
            for line, text in literals(ast.parse(path.read_text(encoding="utf-8"))):
                if text not in QUOTED:
                    yield f"{where}:{line}", text


def _in_prose() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "worker").rglob("*.py")):
        where = path.relative_to(ROOT).as_posix()
        for line, text in prose(path.read_text(encoding="utf-8")):
            yield f"{where}:{line}", text


def _wrong(texts: Iterator[tuple[str, str]]) -> list[str]:
    return [f"{where}: {found}" for where, text in texts for found in dialect_in(text)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pages(path):
    assert not dialect_in(path.read_text(encoding="utf-8"))


def test_help_of_commands():
    assert not _wrong(_helps())


def test_settings():
    assert not _wrong(_described(Settings))


def test_values_of_the_chart():
    assert not _wrong(_described(Values))
    assert not _wrong(_chart_refusals())


def test_metrics_dashboard_and_alerts():
    assert not _wrong(_watched())


def test_errors_logs_and_other_texts_in_code():
    assert not _wrong(_in_code())


def test_docstrings_and_comments():
    found = [
        f"{where}: {word}"
        for where, text in _in_prose()
        for word in dialect_in(text, _PATTERN_IN_PROSE)
    ]
    assert not found


@pytest.mark.parametrize(
    "text",
    [
        "The index is built anew.",
        "Nobody listens",
        "records are buried",
        "a letter is cut",
        "the model cannot be\n    had",
        "it tells why",
        "as it came",
        "by a name of its own",
    ],
)
def test_dialect_is_seen(text):
    assert dialect_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "Dead letters, a dead letter and the dead-letter topic.",
        "A dead\nletter that was truncated",
        "Read again, on average, in the engine's own log format.",
        "a whole number",
    ],
)
def test_plain_words_are_not(text):
    assert not dialect_in(text)


def test_literals_are_whole_sentences_and_no_docstrings():
    source = '"""Anew."""\nx = f"made {1} " "anew"\ny = "letters"\nraise E("told so")\n'
    assert list(literals(ast.parse(source))) == [(2, "made {} anew"), (4, "told so")]


def test_prose_is_docstrings_and_comments():
    source = '"""One."""\nx = "no"  # two\n# three,\n# four\ny = 1\n# five\n"""Six\nlines."""\n'
    assert sorted(prose(source)) == [
        (1, "One."),
        (4, "two three, four"),
        (6, "five"),
        (7, "Six\nlines."),
    ]
