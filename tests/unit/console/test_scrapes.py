import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.console.pages import Page, verdict
from worker.operator.top.recent import read_recent
from worker.operator.top.scrapes import Unreadable, read_metrics
from worker.telemetry import names

INFO = "guardstream_info 1\n"


def test_every_metric_of_a_worker_is_read():
    page = Page(vllm=True)
    for metric in names.METRICS:
        act = {"counter": "inc", "gauge": "set", "histogram": "observe"}[metric.kind]
        getattr(page.of(metric, *metric.labels), act)(3)
    found = page.snapshot(5.0)
    assert found.at == 5.0
    for metric in names.METRICS:
        for series in metric.series:
            assert found.samples(series), series
    assert found.started == 1_000_000


def test_what_is_not_shown_is_not_kept():
    found = read_metrics(INFO + "vllm:e2e_request_latency_seconds_count 3\nup 1\n", 0.0)
    assert set(found.series) == {"guardstream_info"}


def test_what_is_no_number_is_no_number():
    page = INFO + "guardstream_lag_time_seconds NaN\nguardstream_in_flight +Inf\n"
    found = read_metrics(page + "guardstream_ready 1e300\n", 0.0)
    assert found.total(names.LAG_TIME) is None
    assert found.largest(names.IN_FLIGHT) is None
    assert found.total(names.READY) is None


def test_sums_are_by_label():
    page = INFO + 'guardstream_lag_records{topic="a",partition="0"} 3\n'
    found = read_metrics(page + 'guardstream_lag_records{topic="a",partition="1"} 4\n', 0.0)
    assert found.total(names.LAG_RECORDS) == 7
    assert found.largest(names.LAG_RECORDS) == 4
    assert found.by(names.LAG_RECORDS, "topic") == {("a",): 7}


def test_a_label_may_hold_any_line_separator_but_the_formats_own():
    page = INFO + 'guardstream_flags_total{flag="a\u2028\x0bb"} 3\n'
    assert read_metrics(page, 0.0).by(names.FLAGS, "flag") == {("a\u2028\x0bb",): 3}


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("", "not a Guardstream worker's"),
        ("<html></html>", "not a Guardstream worker's"),
        ("up 1\n", "not a Guardstream worker's"),
        (INFO + "guardstream_ready x\n", "text format"),
        (INFO + 'guardstream_stage_duration_seconds_bucket{le="x"} 1\n', "text format"),
    ],
)
def test_what_is_no_workers_page_is_said_to_be_none(page, said):
    with pytest.raises(Unreadable, match=said):
        read_metrics(page, 0.0)


@given(st.sampled_from(["", "guardstream_ready", "guardstream_flags_total"]), st.text())
def test_no_page_breaks_the_reader(name, rest):
    try:
        page = read_metrics(INFO + name + rest, 0.0)
    except Unreadable:
        return
    assert page.at == 0.0


def test_recent_verdicts_are_read():
    one, other = read_recent(orjson.dumps([verdict(offset=2, flags=["truncated"]), verdict()]))
    assert (one.offset, one.flags, one.labels["response_harmfulness"]) == (2, ("truncated",), None)
    assert other.age_seconds == 8.25


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[1]",
        b"[" * 10_000,
        b"\xff",
        b'[{"topic": 3}]',
        b"[]]",
    ],
)
def test_what_is_no_list_of_verdicts_is_not_understood(body):
    with pytest.raises(Unreadable):
        read_recent(body)
