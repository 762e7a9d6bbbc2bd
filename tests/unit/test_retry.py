import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.errors import Retriable
from worker.engine.retry import RetryPolicy, retrying


class Flaky:
    def __init__(self, failures):
        self.failures = failures
        self.calls = 0

    async def __call__(self):
        self.calls += 1
        if self.calls <= self.failures:
            raise Retriable("not yet")
        return "done"


async def attempt(flaky, attempts=3):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    result = await retrying(
        flaky, policy=RetryPolicy(attempts, 1.0, 3.0), sleep=sleep, uniform=lambda: 1.0
    )
    return result, slept


async def test_passing_trouble_is_tried_again_with_doubling_pauses():
    assert await attempt(Flaky(3), attempts=5) == ("done", [1.0, 2.0, 3.0])


async def test_attempts_are_bounded():
    flaky = Flaky(9)
    with pytest.raises(Retriable):
        await attempt(flaky)
    assert flaky.calls == 3


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_never_beyond_the_cap(failures, uniform):
    assert 0 <= RetryPolicy().pause_seconds(failures, uniform) <= RetryPolicy().cap_seconds
