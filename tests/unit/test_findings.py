"""What a person sees of a finding: all of it, and nothing that could steer or deceive."""

import io
from dataclasses import replace

import orjson
import pytest
from rich.console import Console

from tests.unit.inspected import VALUE, finding, judging, letter_of, searched, verdict_of
from worker.cli.views.inspection import show_history
from worker.cli.views.inspection_document import document
from worker.cli.views.quoting import quoted_completion
from worker.domain.engines import Completion, Usage
from worker.domain.errors import InvalidRequest
from worker.domain.guard import CompletionSpan
from worker.domain.judgements import Reasoning
from worker.domain.questions import PROMPT_HARMFULNESS
from worker.domain.records import Partition
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.operator.inspect.inspection import Place, Rejudged, judge_again

NASTY = "\x1b[31mred\x1b]0;title\x07 \u202eleft-to-right\u2066 \r[bold]\x9b"
ESCAPED = "\\x1b[31mred\\x1b]0;title\\x07 \\u202eleft-to-right\\u2066 \\r[bold]\\x9b"
PLACE = Place(Partition("events", 0), 3)
NOW = 1_764_000_060.0


def shown(renderable, **options):
    out = io.StringIO()
    options = {"width": 400, "color_system": None} | options
    console = Console(file=out, highlight=False, soft_wrap=True, **options)
    console.print(renderable)
    return out.getvalue()


def text_of(found, again=None, *, plain=True, **options):
    renderable = show_history(found, GuardReasoner(), again, group="g", now=NOW, plain=plain)
    return shown(renderable, **options)


def outcomes(*verdicts, letters=()):
    return searched(PLACE, verdicts=verdicts, letters=letters).outcomes(PLACE)


async def changed(record, **fields):
    """A verdict whose document was written by somebody else."""
    theirs = await verdict_of(record(VALUE, offset=3))
    value = orjson.dumps(orjson.loads(theirs.value) | fields)
    return record(value, partition=theirs.partition, offset=7)


def again_of(record_verdict, text, spans=()):
    return Rejudged((Completion(text, "stop", Usage(1, 1, 0)),), (tuple(spans),), record_verdict)


async def verdict(record):
    (published,) = outcomes(await verdict_of(record(VALUE, offset=3)))
    return published.verdict


@pytest.mark.parametrize(
    "changes",
    [
        {"key": NASTY.encode()},
        {"value": orjson.dumps({"id": NASTY, "prompt": "a"})},
        {"value": orjson.dumps({"prompt": NASTY, "response": "b"})},
        {"value": orjson.dumps({"messages": [{"role": "user", "content": NASTY}]})},
        {"value": orjson.dumps({"prompt": "a", "conversation_id": NASTY})},
        {"value": orjson.dumps({"prompt": "a", "tenant": NASTY})},
        {"value": NASTY.encode()},
    ],
)
def test_nothing_in_a_record_steers_the_terminal(record, changes):
    assert_harmless(text_of(finding(record=record(**({"offset": 3} | changes)))))


@pytest.mark.parametrize(
    "fields",
    [
        {"flags": [NASTY]},
        {"occurred_at": NASTY},
        {"judged_at": NASTY},
        {"verdict_id": NASTY},
        {"engine": {"name": NASTY, "version": "1"}},
        {"guard": {"name": "g", "model": NASTY, "revision": None, "prompt_sha256": "0"}},
        {"guard": {"name": "g", "model": "m", "revision": NASTY, "prompt_sha256": "0"}},
        {"reasoning": [{"task": "prompt_harmfulness", "steps": [NASTY], "conclusion": None}]},
        {"reasoning": [{"task": "prompt_harmfulness", "steps": [], "conclusion": NASTY}]},
    ],
)
async def test_nothing_in_a_verdict_steers_the_terminal(record, fields):
    found = finding(outcomes=outcomes(await changed(record, **fields)))
    text = text_of(found)
    # what is no moment is left out
    assert_harmless(
        text, ESCAPED if "occurred_at" not in fields and "judged_at" not in fields else ""
    )


@pytest.mark.parametrize("name", ["message", "guardstream.stage", "guardstream.error"])
def test_nothing_in_a_dead_letter_steers_the_terminal(record, name):
    name = name if name.startswith("guardstream") else f"__dlq.errors.{name}"
    letter = letter_of(record(VALUE, offset=3))
    headers = tuple((n, NASTY.encode() if n == name else v) for n, v in letter.headers)
    changed = record(VALUE, partition=letter.partition, headers=headers)
    assert_harmless(text_of(finding(outcomes=outcomes(letters=[changed]))))


async def test_nothing_in_a_completion_steers_the_terminal(record):
    spans = [CompletionSpan(2, 9, "label", "prompt_harmfulness")]
    assert_harmless(
        text_of(finding(), again_of(await verdict(record), NASTY, spans)),
        ESCAPED[:5] + "«",
    )
    refused = InvalidRequest(NASTY)
    assert_harmless(text_of(finding(), refused))


def assert_harmless(text, expected=ESCAPED):
    assert expected in text
    assert not set(text) & set("\x1b\x07\r\u202e\u2066\x9b")


@pytest.mark.parametrize("terminal", [True, False])
def test_no_line_of_others_passes_for_ours(record, terminal):
    lie = "ok\n" + "x" * 60 + "\nVerdict verdicts/0@9\n  status                complete"
    event = orjson.dumps({"id": "e", "prompt": lie, "response": lie})
    text = text_of(
        finding(record=record(event, offset=3)), width=40, force_terminal=terminal, no_color=True
    )
    theirs = [line for line in text.splitlines() if "Verdict" in line or "xxx" in line]
    assert len(theirs) >= 8
    assert all("│" in line for line in theirs)
    if terminal:
        # or the terminal would wrap them, past the bar
        assert max(map(len, theirs)) <= 40


async def test_all_is_shown_of_a_verdict_and_its_repeat(record):
    mine = record(VALUE, offset=3, key=b"k", headers=(("traceparent", TRACE),))
    first = await verdict_of(mine, at=7, timestamp_ms=1)
    second = await verdict_of(mine, at=8, timestamp_ms=2)
    text = text_of(finding(record=mine, outcomes=outcomes(first, second), committed=4))
    for said in (
        "Record events/0@3\n",
        "key                   k\n",
        "written               2025-11-24T16:00:00.000Z  60.000 s ago\n",
        f"trace                 {'a' * 32}\n",
        "committed             yes; g resumes at offset 4\n",
        "Event e\n",
        "user      │ hello\n",
        "assistant │ hi\n",
        "│ Human user:\n",
        "Verdict verdicts/0@7\n",
        "status                complete\n",
        "flags                 simulated: the engine is simulated, so no model has ",
        "guard                 guardreasoner: m, prompt ",
        "step 1     │ This is a simulation; no model has read the text.\n",
        "Verdict verdicts/0@8, a repeat of verdicts/0@7\n",
    ):
        assert said in text


TRACE = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"


async def test_what_is_not_as_it_seems_is_said(record):
    other_record = finding(
        record=record(VALUE, offset=3, timestamp_ms=1),
        outcomes=outcomes(await verdict_of(record(VALUE, offset=3))),
    )
    assert "the topic was recreated" in text_of(other_record)
    guard = {"name": "guardreasoner", "model": "m", "revision": None, "prompt_sha256": "0"}
    other_prompt = finding(
        record=record(VALUE, offset=3), outcomes=outcomes(await changed(record, guard=guard))
    )
    assert "not exact             verdicts/0@7 was made with another template" in text_of(
        other_prompt
    )
    assert (
        document(other_prompt, GuardReasoner(), None)["outcomes"][0]["is_of_this_prompt"] is False
    )


@pytest.mark.parametrize(
    ("value", "committed", "said"),
    [
        (VALUE, 3, "No outcome yet."),
        (VALUE, None, "No outcome yet."),
        (VALUE, 4, "No outcome was found, though the group has moved on"),
        (None, 4, "A tombstone"),
    ],
)
def test_why_there_is_no_outcome(record, value, committed, said):
    assert said in text_of(finding(record=record(value, offset=3), committed=committed))


async def test_the_answer_of_now_is_marked_and_compared(record):
    asked = await judge_again(judging(), record(VALUE, offset=3))
    same = finding(outcomes=outcomes(await verdict_of(record(VALUE, offset=3))))
    label = asked.verdict.prompt_harmfulness.label
    text = text_of(same, asked)
    assert "Asked again" in text
    assert "labels                agree with verdicts/0@0\n" in text
    assert f"  label      │ Request: «{label}»\n" in text
    assert "  step       │ This is a simulation; no model has read the text.\n" in text
    coloured = text_of(same, asked, plain=False, color_system="truecolor", force_terminal=True)
    assert f"\x1b[1;7m{label}\x1b[0m" in coloured
    reading = {"label": None, "source": None}
    other = finding(outcomes=outcomes(await changed(record, prompt_harmfulness=reading)))
    assert f"differ from verdicts/0@7: prompt_harmfulness was -, is {label}" in text_of(
        other, asked
    )
    guard = {"name": "guardreasoner", "model": "x", "revision": None, "prompt_sha256": "0"}
    others = finding(outcomes=outcomes(await changed(record, guard=guard, verdict_id="x")))
    assert "agree with verdicts/0@7 (that is another guard's)" in text_of(others, asked)
    found = document(other, GuardReasoner(), asked)["again"]
    assert (found["labels_agree"], found["compared_with"]) == (False, "verdicts/0@7")


def test_marks_that_lie_in_one_another():
    text = "It is harmful.\n\nso"
    found = [(0, 14, "conclusion", "t"), (6, 13, "label", "t"), (6, 13, "flag", "f")]
    spans = [CompletionSpan(*span) for span in found]
    assert shown(quoted_completion(text, spans, plain=True)) == (
        "  label │ It is ««harmful»».\n        │ \n        │ so\n"
    )


async def test_a_lone_surrogate_reaches_neither_terminal_nor_document(record):
    reasoning = (Reasoning(PROMPT_HARMFULNESS.name, ("a\ud800b",), None),)
    again = again_of(replace(await verdict(record), reasoning=reasoning), "a\ud800b")
    assert "│ a\\ud800b" in text_of(finding(), again)
    found = orjson.loads(orjson.dumps(document(finding(), GuardReasoner(), again)))["again"]
    assert found["completion"] == "a?b"
    assert found["verdict"]["reasoning"][0]["steps"] == ["a?b"]
