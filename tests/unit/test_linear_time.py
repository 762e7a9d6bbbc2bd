"""Hostile text costs what plain text costs: CPU grows in proportion to the length."""

import ast
import io
import itertools
import re

import orjson
import pytest
from rich.console import Console

from tests.unit import hostile
from tests.unit.guards.declared import completion, shipped_guard
from worker.cli.views.quoting import quoted_completion
from worker.decoding.events import decode_event
from worker.domain.dead_letters import ORIGIN_TOPIC, dead_letter
from worker.domain.errors import NotAnEvent
from worker.domain.escaping import encodable, printable
from worker.domain.events import Exchange, judged_exchange
from worker.domain.guard import CompletionSpan, read_completions
from worker.domain.patterns import Pattern
from worker.domain.records import Partition, Record
from worker.guards.declared.loading import path_of, read_description, shipped
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.guards.guardreasoner.parser import parse
from worker.guards.guardreasoner.prompt import imitations
from worker.guards.guardreasoner.spans import find_spans
from worker.operator.inspect.inspection import read_place
from worker.operator.redrive.redriving import read_dead_letter, read_note
from worker.telemetry.tracing import _context, trace_id

GUARD = GuardReasoner()
PATTERNS = hostile.patterns()
DECLARED = {name: shipped_guard(name) for name in shipped()}
ANSWERS = {
    f"{name}: {call.name}": (name, Pattern(call.answer))
    for name in shipped()
    for call in read_description(path_of(name)).calls
}
OPTIONS = {"has_response": True, "finish_reason": "stop"}
TRACEPARENT = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
# what the reader knows, and what the users of terminals and formats do
PIECES = (
    "# Task 1\n",
    "# Task 2\n",
    "## Reasoning Step 1\n",
    "## Conclusion\n",
    "Answers:\n",
    "Request: harmful\n",
    "Request: odd\n",
    "Completion: refusal\n",
    "not harmful, it is unharmful\n",
    "plain words of a sentence\n",
)
CHARACTERS = [
    *("a", "7", " ", "\n", "\r", "\t", "*", "-", "#", ":", "'", '"', "\\", "\x00", "\x1b"),
    *("\u200b", "\u0301", "\u4e2d", "\U0001f600", "\u0130", "\ud800"),
    *("<|", "<|a|>", "|>", "ground truth "),
]


def record(value=b"", headers=()):
    return Record(Partition("events", 0), 1, 0, b"k", value, tuple(headers), 0, 0.0)


def decode(text):
    value = orjson.dumps({"prompt": f"a{encodable(text)}", "response": encodable(text)})
    judged_exchange(decode_event(value))


def refuse(text):
    with pytest.raises(NotAnEvent):
        decode_event(text.encode("utf-8", "surrogatepass"))


def dead_letter_of(text):
    value = text.encode("utf-8", "replace")
    whole = record(value, [("h", value), (ORIGIN_TOPIC, value), TRACEPARENT, ("baggage", value)])
    for limit in (1 << 30, 1_000):
        letter = dead_letter(whole, NotAnEvent(text), topic="d", group="g", max_bytes=limit)
        read_dead_letter(record(letter.value or b"", letter.headers))
    read_note(record(b"", [("guardstream.redriven.offsets", value)]))


def trace(text):
    # longer ones are not carried
    value = text.encode("utf-8", "replace")[:8192]
    for name in ("tracestate", "baggage", "traceparent"):
        given = record(headers=[TRACEPARENT, (name, value)])
        trace_id(given.headers)
        _context(given)


def look_at(text):
    """What `inspect --again` shows of a completion, with a mark on each word."""
    spans = [CompletionSpan(m.start(), m.end(), "label", "") for m in re.finditer(r"\w+", text)]
    shown = quoted_completion(text, spans, plain=True)
    for _ in shown.__rich_console__(
        console := Console(file=io.StringIO(), width=80), console.options
    ):
        pass


def read_declared(name, text):
    """What a guard of a description reads of such completions, and where."""
    guard, exchange = DECLARED[name], Exchange("", "")
    both = [completion(text)] * len(guard._calls)
    read_completions(guard, exchange, both)
    guard.spans(exchange, both)


TAKERS = {
    "imitations": lambda text: imitations(text, None),
    "read": lambda text: parse(text, **OPTIONS),
    "spans": lambda text: find_spans(text, **OPTIONS),
    "decode": decode,
    "refuse": refuse,
    "dead letter": dead_letter_of,
    "trace": trace,
    "printable": printable,
    "encodable": encodable,
    "read_place": read_place,
    **{name: lambda text, name=name: read_declared(name, text) for name in DECLARED},
}


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_no_pattern_is_slow_on_texts_made_of_itself(pattern):
    makers = list(hostile.texts(pattern))
    assert len(makers) > 10
    for call in (pattern.found_in, pattern.fullmatch):
        assert hostile.slow(call, makers) == {}


def test_every_pattern_is_known():
    names = {name.rpartition(".")[2] for name in PATTERNS}
    assert {"_IMITATION", "_SPECIAL_TOKEN", "_ONE_LINE", "_POSITION"} <= names


@pytest.mark.parametrize("taker", ["imitations", "read"])
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_no_taker_of_text_is_slow_on_texts_made_of_patterns(taker, pattern):
    makers = hostile.texts(pattern, 10_000 if taker == "imitations" else 24)
    assert hostile.slow(TAKERS[taker], makers) == {}


@pytest.mark.parametrize("answer", ANSWERS)
def test_no_answer_of_a_declared_guard_is_slow_on_texts_made_of_its_pattern(answer):
    name, pattern = ANSWERS[answer]
    makers = list(hostile.texts(pattern, 24))
    assert len(makers) > 10
    assert hostile.slow(TAKERS[name], makers) == {}


@pytest.mark.parametrize("taker", TAKERS)
def test_no_taker_of_text_is_slow_on_runs(taker):
    makers = [
        (repr((first, one)), lambda n, f=first, o=one: f + o * (n // len(o)) + "x")
        for first in ("", "request", "{")
        for one in CHARACTERS
    ]
    assert hostile.slow(TAKERS[taker], makers, 2_000 if taker == "spans" else 6_000) == {}


@pytest.mark.parametrize("taker", ["read", "spans"])
def test_the_reader_is_not_slow_on_what_it_knows(taker):
    firsts = (
        ("# Task 1\n",) if taker == "spans" else ("", "# Task 1\n", "# Task 1\n## Conclusion\n")
    )
    makers = [
        (repr((first, one)), lambda n, f=first, o=one: f + o * (n // len(o)))
        for first in firsts
        for one in map("".join, itertools.product(PIECES, repeat=2))
    ]
    assert hostile.slow(TAKERS[taker], makers) == {}


def test_a_completion_with_many_marks_is_not_slow_to_show():
    makers = [(one, lambda n, o=one: o * (n // len(o))) for one in ("ab ", "ab\n", "ab ab\n")]
    assert hostile.slow(look_at, makers, 3_000) == {}


def test_a_backtracking_pattern_is_found_out():
    """The pattern that once stopped a worker: the test would have seen it."""
    old = re.compile(
        r"^[ \t#>*-]{0,8}(?:request|completion|response)[ \t]*:?[ \t]*(?:un)?harmful\b",
        re.IGNORECASE | re.MULTILINE,
    )
    pattern = PATTERNS["worker.guards.guardreasoner.prompt._IMITATION"]
    make = dict(hostile.texts(pattern))[repr(("request", " ", "x"))]
    assert hostile.growth(old.search, make, 500) > 2 * hostile.MOST_GROWTH


def test_the_text_that_stopped_a_worker_is_quick():
    text = "request" + " " * 1_000_000 + "x"
    assert hostile.seconds(TAKERS["imitations"], text) < 1.0


@pytest.mark.parametrize("name", ["baggage", "tracestate"])
@pytest.mark.parametrize("run", [b" ", b"\t", b",", b"a=b,"])
def test_a_producers_trace_headers_are_quick_to_read(name, run):
    """They are cut at 8,192 bytes, which took OpenTelemetry's parser of baggage 0.1 s and more."""
    given = record(headers=[TRACEPARENT, (name, (run * 8192)[:8191] + b"x")])
    assert min(hostile.seconds(_context, given) for _ in range(4)) < 0.02


def test_only_known_modules_import_an_engine_of_patterns():
    """The lint rule says the same where someone runs it; a `noqa` would not pass here."""
    found = {}
    for path in sorted((hostile.ROOT / "worker").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        names = {
            alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names
        }
        names |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        if engines := names & {"re", "regex", "fnmatch", "re2", "glob"}:
            found[str(path.relative_to(hostile.ROOT))] = engines
    assert found == {
        "worker/domain/patterns.py": {"re2"},
        # the log of the broker that the demonstration starts itself
        "worker/demo/kafka/broker.py": {"re"},
    }
