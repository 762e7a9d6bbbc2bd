import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from tests.unit.console.pages import Page, change, verdict
from worker.cli.views.top.frames import FrameTime, frame, share_out
from worker.operator.top.changes import Change
from worker.operator.top.loads import Flow
from worker.operator.top.recent import RecentVerdict
from worker.operator.top.scrapes import read_metrics
from worker.operator.top.view import WorkerStatus, view_of
from worker.telemetry import names

NOW = FrameTime(200.0, 1_000_090.0)
SIZES = [(80, 24), (160, 50)]
NASTY = "\x1b[31mred\x1b]0;title\x07 \u202e\r[bold]\u4e16" + "x" * 500


def lines_of(seen, width, height=None, flows=()):
    drawn, height = frame(view_of(seen, NOW.unix), flows, NOW, width=width, height=height)
    console = Console(file=io.StringIO(), record=True, width=width, height=height)
    console.print(drawn, height=height)
    return console.export_text().rstrip("\n").split("\n")


def fits(lines, width, height):
    # rich draws its own box where a part has nothing to show
    assert not any(re.search(r"\(\d+ x \d+\)", line) for line in lines)
    return len(lines) <= height and all(cell_len(line) <= width for line in lines)


def worker(name="w:1", *, text="events", partitions=2, verdicts=3, decides=False, **page):
    def act(page):
        for number in range(partitions):
            page.of(names.LAG_RECORDS, text, str(number)).set(12_000 + number)
        page.of(names.LAG_TIME).set(500)
        page.of(names.CONSUMED, text).inc(310)
        page.of(names.OUTCOMES, "verdict").inc(290)
        page.of(names.ENGINE_BUSY).inc(9.7)
        page.of(names.VERDICTS, "prompt_harmfulness", "harmful").inc(1)
        page.of(names.VERDICTS, "prompt_harmfulness", "unharmful").inc(3)
        page.of(names.FLAGS, text).inc(2)
        page.of(names.DEAD_LETTERS, "judge", text).inc(4)
        page.of(names.VERDICT_AGE).observe(90_000)
        if decides:
            page.of(names.DECISIONS, "acting", text).inc(3)
            page.of(names.DECISIONS, "shadow", text).inc(4)
            page.of(names.DECISIONS_DIFFER, text, "block").inc(1)
            page.of(names.POLICY_BROKEN, "acting").set(1)
        for stage in ("queue", "batch", "judge", "publish"):
            page.of(names.STAGE_DURATION, stage).observe(3)

    told = [verdict(topic=text, offset=offset) for offset in range(verdicts)]
    recent = tuple(RecentVerdict(**one | {"flags": (text,)}) for one in told)
    return WorkerStatus(name, change(Page(**page), act), recent=recent)


FLOWS = [Flow(at, at, 2 * at) for at in range(20, 200, 2)]
SCENES = {
    "one": [worker(vllm=True)],
    "deciding": [worker(text="review", decides=True)],
    "nasty": [worker(NASTY, text=NASTY, decides=True, group=NASTY, state=NASTY)],
    "busy": [worker(partitions=40, verdicts=50)],
    "many": [worker(f"w:{n}") for n in range(12)],
    "mixed": [worker(), WorkerStatus("w:2", fault=NASTY)],
    "away": [WorkerStatus("w:1", fault="no connection")],
    "all away": [
        WorkerStatus("w:1", fault="no connection"),
        WorkerStatus("w:2", fault="no connection"),
    ],
    "first look": [WorkerStatus("w:1", Change(None, Page().snapshot(1.0)), recent_fault="404")],
    "none": [],
}


@pytest.mark.parametrize("size", [*SIZES, (60, 10), (20, 5), (400, 120)])
@pytest.mark.parametrize("scene", SCENES)
def test_a_frame_fits_its_terminal(scene, size):
    assert fits(lines_of(SCENES[scene], *size, flows=FLOWS), *size)


@pytest.mark.parametrize("scene", SCENES)
def test_a_frame_for_no_terminal_has_all_its_lines(scene):
    lines = lines_of(SCENES[scene], 80)
    assert fits(lines, 80, 80)
    if scene == "busy":
        assert sum("12,0" in line for line in lines) == 10


@pytest.mark.parametrize("size", SIZES)
def test_all_panes_are_there(size):
    text = "\n".join(lines_of(SCENES["one"], *size, flows=FLOWS))
    for said in (
        "running, ready  w:1  up 1m30s  rates over 10s",
        "a/model  guardreasoner  vllm  exactly_once  group g",
        "24,001, 8m20s to clear",
        "31/s",
        "29/s",
        "p50 >1d p95 >1d p99 >1d",
        "97 %",
        "7 run, 2 wait, KV 25 %",
        "25 % harmful",
        "events 2",
        "Dead letters: 4",
        "+4",
        "12,001",
        "1m30s events/3@0",
        "8.2s",
    ):
        assert said in text, said
    assert re.search(r"judge +2\.5s +(2\.9|3\.0)s +25 %", text)


def test_more_room_shows_more():
    small, large = (lines_of(SCENES["busy"], *size) for size in SIZES)
    assert sum("events/3@" in line for line in small) >= 1
    assert sum("events/3@" in line for line in large) >= 10
    assert any("trace" in line for line in large)


@pytest.mark.parametrize("size", SIZES)
def test_nothing_told_steers_the_terminal(size):
    for scene in ("nasty", "mixed"):
        text = "\n".join(lines_of(SCENES[scene], *size))
        assert not set(text) & set("\x1b\x07\r\u202e")
        assert "\\x1b[31mre" in text


def test_nothing_told_is_markup():
    text = "\n".join(lines_of([worker("[/w]", text="[/t][b]")], 160, 50))
    # a partition's topic, a flag, a dead letter's error, verdicts
    assert text.count("[/t][b]") >= 5
    assert "[/w]" in text


def test_trouble_is_said_in_words():
    broken = WorkerStatus(
        "w:1", change(Page(ready=False), lambda page: page.of(names.BREAKER_OPEN).set(1))
    )
    late = WorkerStatus("w:1", change(Page(), lambda page: page.of(names.LOOP_LAG).set(3)))
    unready = WorkerStatus("w:2", change(Page(ready=False), lambda _: None))
    assert "BREAKER OPEN, NOT READY" in lines_of([broken], 80, 24)[0]
    assert "running, NOT READY" in lines_of([unready], 80, 24)[0]
    assert "EVENT LOOP 3.0s LATE" in lines_of([late], 80, 24)[0]
    assert "CANNOT BE READ: no connection" in lines_of(SCENES["away"], 80, 24)[0]
    mixed = lines_of([worker(), unready, WorkerStatus("w:3", fault="no connection")], 80, 24)
    assert "3 workers, ONLY 1 READY" in mixed[0]
    assert any("w:3 CANNOT BE READ: no connection" in line for line in mixed)


def test_verdicts_that_are_not_told_are_said_to_be():
    text = "\n".join(lines_of(SCENES["first look"], 80, 24))
    assert "cannot be shown: 404" in text


@given(
    st.lists(
        st.tuples(
            st.sampled_from([series for metric in names.METRICS for series in metric.series]),
            st.floats(allow_nan=True, allow_infinity=True),
            st.sampled_from(["", '{stage="judge",le="0.5"}', '{topic="t",state="x"}']),
        ),
        max_size=30,
    )
)
def test_no_numbers_break_a_frame(samples):
    page = "guardstream_info 1\n" + "".join(
        f"{name}{labels} {value}\n" for name, value, labels in samples
    )
    seen = WorkerStatus(
        "w:1", Change(read_metrics("guardstream_info 1\n", 1.0), read_metrics(page, 2.0))
    )
    assert fits(lines_of([seen], 80, 24), 80, 24)


@given(
    st.integers(-5, 60),
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 30)), max_size=6),
)
def test_lines_are_shared_out_within_the_room(room, bands):
    least = [low for low, _ in bands]
    wanted = [low + more for low, more in bands]
    given_lines = share_out(room, least, wanted)
    assert sum(given_lines) <= max(0, room)
    for lines, low, most in zip(given_lines, least, wanted, strict=True):
        assert lines == 0 or low <= lines <= most
    if room >= sum(wanted):
        assert given_lines == wanted
    elif room >= sum(least):
        assert sum(given_lines) == room


def test_what_the_policy_decides_has_a_line_where_there_is_one():
    (line,) = [one for one in lines_of(SCENES["deciding"], 160) if "decided" in one]
    assert "review 100 %, shadow differs 25 % policy file broken" in line
    assert not any("decided" in one for one in lines_of(SCENES["one"], 160))
