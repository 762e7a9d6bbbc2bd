"""Numbers of exchanges in a header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.exchange_numbers import NumberRanges, read_ranges

NUMBERS = st.sets(st.integers(0, 60))


@given(NUMBERS)
def test_what_is_written_is_read(numbers):
    written = NumberRanges((number, number) for number in numbers).encode()
    found = read_ranges(written)
    assert (found is None) == (not numbers)
    assert found is None or {number for number in range(100) if number in found} == numbers


def test_neighbours_are_a_range():
    assert NumberRanges((n, n) for n in (7, 3, 4, 0, 5)).encode() == b"0,3-5,7"


@pytest.mark.parametrize("value", [None, b"", b"a", b"1,", b"-1", b"1-2-3", b"1" * 10, b"\xff"])
def test_another_form_is_no_header(value):
    assert read_ranges(value) is None


def test_wide_ranges_cost_nothing():
    found = read_ranges(b"0-999999999," * 5000 + b"1")
    assert 123 in found
    assert 1_000_000_000 not in found
