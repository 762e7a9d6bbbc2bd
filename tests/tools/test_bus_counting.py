import pytest

from benchmarks.bus.counting import Input, Outcome, figures_of
from benchmarks.processes import Meter, ProcessFailed, Reading


def meter(*readings):
    return Meter(1, [Reading(at, used, 0) for at, used in readings])


def outcomes(*moments):
    return [Outcome(b"%d" % number, at) for number, at in enumerate(moments)]


def test_start_and_warm_up_count_neither_as_time_nor_as_cpu():
    source = Input("events", events=10, partitions=1, value_bytes=0)
    # the first three came by second 100, the other seven within 3.5 s
    found = outcomes(99, 99, 100, 100.5, 101, 101.5, 102, 102.5, 103, 103.5)
    # 30 s of CPU before, 0.7 s a second from then on
    meters = [meter((90, 0.0), (99, 0.0)), meter((90, 0.0), (100, 30.0), (110, 37.0))]
    figures = figures_of(meters, found, source)
    assert figures["events_per_second"] == pytest.approx(2)
    assert figures["cpu_us_per_event"] == pytest.approx(350_000)
    assert figures["endpoint_cpu_us_per_event"] == 0


def test_a_batch_appended_at_once_counts_only_if_its_work_fell_into_the_time():
    source = Input("events", events=9, partitions=1, value_bytes=0)
    found = outcomes(1, 1, 1, 2, 2, 2, 3, 3, 3)
    figures = figures_of([meter((0, 0.0), (9, 9.0))], found, source)
    assert figures["events_per_second"] == pytest.approx(3)
    assert figures["cpu_us_per_event"] == pytest.approx(1e6 / 3)


def test_what_is_lost_repeated_or_unknown_is_told_apart():
    source = Input("events", events=4, partitions=1, value_bytes=0)
    found = [Outcome(key, at) for at, key in enumerate([b"0", b"1", b"1", b"3", None, b"9", b"1"])]
    figures = figures_of([meter((0, 0.0), (9, 9.0))], found, source)
    assert (figures["lost"], figures["repeated"], figures["unknown"]) == (1, 2, 2)


def test_outcomes_of_one_moment_have_no_rate():
    source = Input("events", events=2, partitions=1, value_bytes=0)
    with pytest.raises(ProcessFailed, match="more events"):
        figures_of([meter((0, 0.0), (9, 9.0))], outcomes(1, 1), source)
