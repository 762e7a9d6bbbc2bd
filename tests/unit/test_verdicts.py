from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.verdicts import rfc3339


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_timestamp_of_kafka_can_be_written(timestamp_ms):
    written = rfc3339(timestamp_ms / 1000)
    assert datetime.fromisoformat(written).utcoffset().total_seconds() == 0
    assert len(written) == len("2026-01-01T00:00:00.000Z")


@pytest.mark.parametrize(
    ("timestamp_ms", "written"),
    [
        (1_764_000_000_123, "2025-11-24T16:00:00.123Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (2**63 - 1, "9999-12-31T23:59:59.000Z"),
        (-(2**63), "0001-01-01T00:00:00.000Z"),
    ],
)
def test_a_time_that_the_format_cannot_hold_is_its_nearest_end(timestamp_ms, written):
    assert rfc3339(timestamp_ms / 1000) == written
