from hypothesis import given
from hypothesis import strategies as st

from worker.engine.circuit_breaker import BreakerPolicy, CircuitBreaker


def test_a_run_of_failures_opens_it_and_one_success_closes_it():
    breaker = CircuitBreaker(BreakerPolicy(max_failed_run=3))
    assert [breaker.failed(0.0) for _ in range(3)] == [False, False, True]
    assert breaker.is_open
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.enter(0.0) == 0


def test_a_share_of_failures_opens_it():
    breaker = CircuitBreaker(
        BreakerPolicy(max_failed_run=100, max_failed_share=0.5, window_records=10)
    )
    for _ in range(5):
        breaker.succeeded()
        breaker.failed(0.0)
    assert not breaker.is_open
    assert breaker.failed(0.0)


def test_one_probe_at_a_time_after_pauses_that_double():
    breaker = CircuitBreaker(
        BreakerPolicy(max_failed_run=1, cool_seconds=1.0, max_cool_seconds=3.0)
    )
    breaker.failed(10.0)
    assert breaker.enter(10.5) == 0.5
    assert breaker.enter(11.0) == 0
    assert breaker.enter(11.0) > 0, "a second probe beside the first"
    breaker.failed(11.5)
    assert breaker.enter(11.5) == 2.0
    breaker.failed(12.0)
    assert breaker.enter(11.5) == 2.0, "a failure of before, not of a probe"
    assert breaker.enter(13.5) == 0
    breaker.failed(13.5)
    assert breaker.enter(13.5) == 3.0


def test_after_it_closed_the_old_failures_are_forgotten():
    breaker = CircuitBreaker(
        BreakerPolicy(max_failed_run=100, window_records=4, max_failed_share=0.5)
    )
    for _ in range(4):
        breaker.failed(0.0)
    assert breaker.is_open
    breaker.succeeded()
    assert not breaker.failed(0.0)


@given(st.lists(st.booleans(), max_size=200))
def test_it_never_opens_below_both_bounds(results):
    policy = BreakerPolicy(max_failed_run=201, max_failed_share=1.0, window_records=50)
    breaker = CircuitBreaker(policy)
    for failed in results:
        if failed:
            assert not breaker.failed(0.0)
        else:
            breaker.succeeded()
