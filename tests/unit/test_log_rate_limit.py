from hypothesis import given
from hypothesis import strategies as st

from tests.unit.clocks import ManualClock
from worker.runtime.log_rate_limit import LogRateLimit

MOST, INTERVAL = 2, 10.0


# steps of a quarter are exact in floats, so that windows end where they should
SAID = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 2.5, 9.75, 10.0])), min_size=20, max_size=100
)


def repeats(clock, remembered=512):
    return LogRateLimit(
        most=MOST, interval_seconds=INTERVAL, monotonic=clock.monotonic, remembered=remembered
    )


@given(SAID)
def test_what_passes_is_rare_enough_and_what_does_not_is_counted(said):
    clock = ManualClock()
    held = repeats(clock)
    passed = {key: [] for key in range(2)}
    silent = dict.fromkeys(range(2), 0)
    for key, seconds in said:
        clock.time += seconds
        recent = [at for at in passed[key] if clock.time - at < INTERVAL]
        expected = silent[key] if len(recent) < MOST else None
        assert held.admit(key) == expected
        if expected is None:
            silent[key] += 1
        else:
            silent[key] = 0
            passed[key].append(clock.time)


def test_foreign_keys_cannot_fill_the_memory():
    held = repeats(ManualClock(), remembered=10)
    for key in range(1000):
        assert held.admit(key) == 0
        assert len(held) <= 10
    # the latest are remembered
    assert [held.admit(999), held.admit(999)] == [0, None]


def test_a_key_in_use_is_remembered_amid_others():
    held = repeats(ManualClock(), remembered=10)
    assert [held.admit(0), held.admit(0)] == [0, 0]
    for other in range(10, 100):
        assert held.admit(0) is None
        held.admit(other)
