import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cli.views.top.quantities import bar, count, duration, rate, share, sparkline, up_to


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "-"), (0, "0"), (12_345, "12,345"), (99_999.4, "99,999"), (99_999.6, "100k"),
     (123_456, "123k"), (999_960, "1.0M"), (4_500_000, "4.5M"), (7e9, "7.0G"), (9e17, "900P")],
)  # fmt: skip
def test_counts(value, said):
    assert count(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "-/s"), (0.0, "0/s"), (0.314, "0.31/s"), (3.14, "3.1/s"), (31.4, "31/s"),
     (9_999, "9,999/s"), (12_345, "12.3k/s"), (2e6, "2.0M/s")],
)  # fmt: skip
def test_rates(value, said):
    assert rate(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "- %"), (0.0, "0 %"), (0.004, "0.4 %"), (0.0096, "1 %"), (0.614, "61 %"), (1, "100 %")],
)
def test_shares(value, said):
    assert share(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "-"), (0.0, "0ms"), (0.0042, "4ms"), (0.9996, "1.0s"), (8.25, "8.2s"), (9.96, "10s"),
     (59.4, "59s"), (59.6, "1m"), (500, "8m20s"), (3599.7, "1h"), (7380, "2h3m"), (86_399, "1d"),
     (93_600, "1d2h"), (1e9, "11,574d2h")],
)  # fmt: skip
def test_durations(seconds, said):
    assert duration(seconds) == said


def test_what_lies_beyond_the_buckets_is_said_to_be_more():
    assert up_to(120.0, 120.0) == ">2m"
    assert up_to(119.0, 120.0) == "1m59s"
    assert up_to(None, None) == "-"


def test_a_bar_gives_each_share_its_cells():
    assert bar([0.25, 0.5, 0.25], 8, "ab.") == ["aa", "bbbb", ".."]
    assert bar([0.5], 8, "a") == ["aaaa"]


@given(st.lists(st.floats(0, 1), max_size=3), st.integers(0, 50))
def test_a_bar_is_never_longer_than_its_room(parts, width):
    assert sum(map(len, bar(parts, width, "ab."))) <= width


def test_a_sparkline_has_the_newest_at_the_right():
    assert sparkline([(7.0, 0.0), (8.0, 7.0), (9.0, 14.0)], 9.5, 5.0, 5) == "  ▁▅█"


def test_cells_are_means_and_gaps_go_on():
    points = [(0.0, 2.0), (1.0, 4.0), (6.0, 6.0)]
    # cells of two seconds: a mean of 3, two without a look, then 6
    assert sparkline(points, 7.9, 8.0, 4) == "▅▅▅█"


@given(
    st.lists(st.tuples(st.floats(0, 500), st.floats(0, 1e9)), max_size=30),
    st.floats(0, 500),
    st.integers(0, 80),
)
def test_a_sparkline_is_as_wide_as_its_room(points, now, width):
    points = [(at, value) for at, value in points if at <= now]
    assert len(sparkline(points, now, 180.0, width)) == width
