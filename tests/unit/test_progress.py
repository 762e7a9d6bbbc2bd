"""Partitions that stand still: when that is reported, and when it is not."""

import pytest

from worker.domain.records import Partition
from worker.flow.progress import Progress, Standing

ONE, TWO = Partition("events", 3), Partition("events", 4)


def standing(epoch, committed, lag, unstable=0, end=99):
    return Standing(epoch, committed, end, lag, unstable)


def observed(*standings, stuck_seconds=300.0):
    """A partition's standings a minute apart."""
    progress = Progress(stuck_seconds)
    for minute, now_at in enumerate(standings):
        progress.observe({ONE: now_at}, 1000.0 + 60 * minute)
    return progress


def test_lag_that_stands_still_is_reported_with_partition_time_and_records():
    still = [standing(1, 10, 1200)] * 6
    assert observed(*still[:5]).trouble() is None
    trouble = observed(*still).trouble()
    assert trouble == "events/3 has not moved for 300 s with 1,200 records of lag."


@pytest.mark.parametrize(
    "standings",
    [
        # slow, but every commit is progress
        [standing(1, 10 + n, 5000) for n in range(20)],
        # nothing to do
        [standing(1, 10, 0)] * 20,
        # the lag came a moment ago
        [*[standing(1, 10, 0)] * 20, standing(1, 10, 7)],
        # it was taken over a moment ago, at the same offset
        [*[standing(1, 10, 7)] * 20, standing(2, 10, 7)],
        # its first commit
        [*[standing(1, None, 7)] * 20, standing(1, 3, 4)],
    ],
    ids=["slow", "idle", "new lag", "new owner", "first commit"],
)
def test_what_moves_or_has_nothing_to_do_is_not(standings):
    assert observed(*standings).trouble() is None


def test_a_partition_that_never_committed_is_reported():
    assert observed(*[standing(1, None, 7)] * 6).trouble()


def test_a_partition_that_went_is_forgotten_and_begins_again():
    progress = observed(*[standing(1, 10, 7)] * 6)
    progress.observe({}, 2000.0)
    assert progress.trouble() is None
    progress.observe({ONE: standing(1, 10, 7)}, 2060.0)
    assert progress.trouble() is None


def test_the_one_that_stands_longest_is_named():
    progress = Progress(60.0)
    progress.observe({TWO: standing(1, 0, 5)}, 0.0)
    progress.observe({ONE: standing(1, 0, 5), TWO: standing(1, 0, 5)}, 30.0)
    progress.observe({ONE: standing(1, 0, 5), TWO: standing(1, 0, 5)}, 100.0)
    assert progress.trouble().startswith("events/4 (and 1 more) has not moved for 100 s")


def test_a_transaction_that_stays_open_is_reported_until_it_ends():
    held = standing(1, 10, 0, unstable=4)
    progress = observed(*[held] * 5)
    assert progress.blocked() == {}
    progress = observed(*[held] * 6)
    assert progress.blocked() == {ONE: 4}
    # a transaction on the input is its producer's: the worker itself is ready
    assert progress.trouble() is None
    progress.observe({ONE: standing(1, 10, 4)}, 1400.0)
    assert progress.blocked() == {}


def test_transactions_that_follow_each_other_are_none_that_stays_open():
    assert observed(*[standing(1, n, 0, unstable=4, end=n) for n in range(20)]).blocked() == {}
