import pytest

from benchmarks.sized_events import sized_values
from worker.decoding.events import decode_event
from worker.domain.events import judged_exchange


@pytest.mark.parametrize("longer", ["prompt", "conversation"])
@pytest.mark.parametrize("size_bytes", [512, 2048, 16_384])
def test_events_have_the_size_that_was_asked_for_and_can_be_judged(size_bytes, longer):
    values = sized_values(200, size_bytes, longer)
    events = [decode_event(value) for value in values]
    assert [event.id for event in events] == [str(number) for number in range(200)]
    assert max(map(len, values)) <= size_bytes
    assert min(map(len, values)) > 0.75 * size_bytes
    judged = [len(judged_exchange(event).prompt) for event in events]
    if longer == "prompt":
        assert min(judged) > 0.5 * size_bytes - 200
    else:
        assert max(judged) < 512
