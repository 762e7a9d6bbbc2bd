from hypothesis import given
from hypothesis import strategies as st

from tests.unit.console.pages import Page, change
from worker.operator.top.changes import Change
from worker.operator.top.scrapes import Snapshot
from worker.telemetry.names import FLAGS, OUTCOMES, STAGE_DURATION


def counted(value, at):
    series = OUTCOMES.series[0]
    return Snapshot(at, {series: {frozenset({("outcome", "verdict")}): value}})


def test_rates_are_over_the_time_between_the_looks():
    made = change(Page(), lambda page: page.of(OUTCOMES, "verdict").inc(30), seconds=4.0)
    assert made.seconds == 4.0
    assert made.increase(OUTCOMES) == 30
    assert made.rate(OUTCOMES) == 7.5


def test_one_look_has_no_rate():
    made = Change(None, Page().snapshot(1.0))
    assert made.rate(OUTCOMES) is None
    assert made.increases(FLAGS, "flag") == {}
    assert made.distribution(STAGE_DURATION).count == 0


def test_a_counter_that_is_not_there_yet_has_counted_nothing():
    assert change(Page(), lambda _: None).rate(OUTCOMES) == 0.0


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_a_counter_that_shrank_is_counted_from_nothing(before, after):
    grown = Change(counted(float(before), 1.0), counted(float(after), 2.0)).increase(OUTCOMES)
    assert grown == (after - before if after >= before else after)


def test_another_process_is_counted_from_nothing_even_if_it_counted_further():
    page = Page()
    page.of(OUTCOMES, "verdict").inc(5)
    page.of(STAGE_DURATION, "judge").observe(0.2)

    def restart(page):
        page.start_at(1_000_050)
        page.of(OUTCOMES, "verdict").inc(3)
        page.of(STAGE_DURATION, "judge").observe(0.2)

    made = change(page, restart)
    assert made.increase(OUTCOMES) == 8
    assert made.distribution(STAGE_DURATION).count == 2


def test_increases_are_by_label():
    def act(page):
        page.of(FLAGS, "a").inc(2)
        page.of(FLAGS, "b").inc(3)

    page = Page()
    page.of(FLAGS, "a").inc(10)
    assert change(page, act).increases(FLAGS, "flag") == {("a",): 2, ("b",): 3}


def test_a_histograms_observations_are_those_between_the_looks():
    page = Page()
    page.of(STAGE_DURATION, "judge").observe(100)

    def act(page):
        for seconds in (0.06, 0.06, 0.3, 0.3):
            page.of(STAGE_DURATION, "judge").observe(seconds)
        page.of(STAGE_DURATION, "queue").observe(1.5)

    found = change(page, act).distributions(STAGE_DURATION, "stage")
    assert found.keys() == {"judge", "queue"}
    assert found["judge"].count == 4
    assert round(found["judge"].total, 9) == 0.72
    assert found["judge"].quantile(0.5) == 0.1
    assert found["judge"].quantile(0.75) == 0.375


def test_a_histogram_that_shrank_is_counted_from_nothing():
    fuller, emptier = Page(), Page()
    for _ in range(9):
        fuller.of(STAGE_DURATION, "judge").observe(0.01)
    for _ in range(3):
        emptier.of(STAGE_DURATION, "judge").observe(100)
    made = Change(fuller.snapshot(1.0), emptier.snapshot(2.0)).distribution(STAGE_DURATION)
    assert made.count == 3
    assert made.total == 300
    assert 60 < made.quantile(0.5) <= 120
