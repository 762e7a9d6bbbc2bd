"""Categories and severity of verdicts: headers, metrics, the console and the terminal."""

import io

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from rich.console import Console

from tests.unit.clocks import QuickClock
from tests.unit.console.pages import Page, change
from tests.unit.console.pages import verdict as reported
from tests.unit.console.test_screen import lines_of
from tests.unit.guards.declared import declared
from tests.unit.test_any_guard import verdicts_of_a_worker
from tests.unit.three_levels import ThreeLevels
from worker.cli.views.verdicts import show_verdict
from worker.domain.engines import EngineReference, Usage
from worker.domain.events import Event
from worker.domain.guard import codes_of
from worker.domain.judgements import Category, Judgement
from worker.domain.records import Partition, Record
from worker.domain.verdict_records import verdict_record
from worker.domain.verdicts import GuardReference, VerdictSource, encode_verdict, judge_event
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.operator.top.recent import RecentVerdict, read_recent
from worker.operator.top.view import WorkerStatus, view_of
from worker.telemetry import Telemetry, names
from worker.telemetry.categories import OTHER

RECORD = Record(Partition("events", 0), 1, 0, b"k", b"", (), 0, 0.0)
METRIC = names.CATEGORIES.base


def verdict(*codes, severity=None, context_turns=0):
    return judge_event(
        Judgement(
            "complete",
            {},
            categories=tuple(Category("prompt_harmfulness", code, f"n{code}") for code in codes),
            severity=severity,
        ),
        event=Event(),
        event_id="e",
        source=VerdictSource("events", 0, 1, "2026-01-01T00:00:00.000Z"),
        guard=GuardReference("g", "m", None, "00"),
        engine=EngineReference("e", "1"),
        usage=Usage(1, 1, 0),
        finish_reason="stop",
        flags=(),
        with_reasoning=True,
        received_at=0.0,
        judged_at=0.0,
        context_turns=context_turns,
    )


def header(*codes):
    found = dict(verdict_record(verdict(*codes), topic="v", record=RECORD).headers)
    return found.get("guardstream.categories")


def test_a_header_has_the_codes_once():
    assert header() is None
    assert header("S1", "S10", "S1") == b"S1,S10"
    assert header("Suicide & Self-Harm") == b"Suicide & Self-Harm"
    assert header("a,b", "c", "\ud800") == b"c,?"
    assert header("x" * 2000) is None


@given(st.lists(st.text(max_size=300), max_size=12))
def test_the_header_is_bounded_and_has_whole_codes(codes):
    found = header(*codes)
    known = {code.encode("utf-8", "replace") for code in codes}
    assert found is None or len(found) <= 1024
    assert set((found or b"").split(b",")) <= known | {b""}


def counts(telemetry):
    lines = generate_latest(telemetry.registry).decode().splitlines()
    found = (line.rsplit(" ", 1) for line in lines if line.startswith(f"{METRIC}_total"))
    return {series.split('"')[1]: float(value) for series, value in found}


def judged(telemetry, *verdicts):
    for one in verdicts:
        telemetry.judged(RECORD, one, taken_at=0.0, admitted_at=0.0)


def test_verdicts_are_counted_by_the_codes_that_the_guard_names():
    telemetry = Telemetry(QuickClock(), codes=["S1", "S2"])
    assert counts(telemetry) == {"S1": 0, "S2": 0, OTHER: 0}
    judged(telemetry, verdict("S1", "S1"), verdict("S1", "evil", "worse"), verdict())
    assert counts(telemetry) == {"S1": 2, "S2": 0, OTHER: 1}
    (newest, middle, oldest) = telemetry.recent()
    assert (newest["categories"], middle["categories"]) == ([], ["S1", OTHER])
    assert oldest["categories"] == ["S1"]


def test_a_guard_without_categories_has_no_series():
    telemetry = Telemetry(QuickClock())
    judged(telemetry, verdict())
    assert counts(telemetry) == {}


@given(st.lists(st.lists(st.text(max_size=3), max_size=4), max_size=8))
def test_completions_cannot_make_series(found):
    telemetry = Telemetry(QuickClock(), codes=["a", "b"])
    judged(telemetry, *(verdict(*codes) for codes in found))
    assert set(counts(telemetry)) == {"a", "b", OTHER}


def test_guards_name_their_codes():
    assert codes_of(declared("llama-guard"))[:2] == ("S1", "S2")
    assert codes_of(declared("llama-guard", options={"categories": {"X1": "Mine"}}))[-1] == "X1"
    assert "Jailbreak" in codes_of(declared("qwen3guard"))
    assert codes_of(GuardReasoner()) == codes_of(ThreeLevels()) == ()


async def test_a_worker_reports_them_and_top_shows_them():
    harness, records = await verdicts_of_a_worker()
    telemetry = harness.telemetry
    assert {dict(one.headers)["guardstream.categories"] for one in records} == {b"S1"}
    assert set(counts(telemetry)) == {OTHER}
    (newest, *_) = read_recent(orjson.dumps(telemetry.recent()))
    assert newest.categories == (OTHER,)
    assert newest.severity in ("none", "some", "severe")


def text_of(value):
    console = Console(file=io.StringIO(), width=200)
    console.print(show_verdict(value))
    return console.file.getvalue()


def test_a_terminal_shows_them_where_there_are_any():
    shown = text_of(encode_verdict(verdict("S1", "S1", "S\x1b[2J", severity="high")))
    assert "severity high categories S1, S\\x1b[2J" in shown
    plain = text_of(encode_verdict(verdict()))
    assert "severity" not in plain
    assert "categories" not in plain
    assert "after 4 turns" in text_of(encode_verdict(verdict(context_turns=4)))


def recent(**fields):
    told = reported(**fields)
    return RecentVerdict(**told | {"flags": tuple(told["flags"])})


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
def test_the_console_shows_them_where_there_are_any(size):
    def act(page):
        page.of(names.CATEGORIES, "S10").inc(3)
        page.of(names.CATEGORIES, "S1").inc(1)

    seen = WorkerStatus("w:1", change(Page(), act), recent=(recent(categories=("S10",)),))
    view = view_of([seen], now=0.0)
    assert view.categories == (("S10", 3), ("S1", 1))
    screen = "\n".join(lines_of([seen], *size))
    assert "S10 3, S1 1" in screen
    assert screen.count("category") == 2
    without = WorkerStatus("w:1", change(Page(), lambda _: None), recent=(recent(),))
    assert "category" not in "\n".join(lines_of([without], *size))


def test_a_worker_of_an_older_version_reports_none():
    (found,) = read_recent(orjson.dumps([reported()]))
    assert (found.categories, found.severity) == ((), None)
