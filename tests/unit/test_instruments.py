"""The instruments, beside prometheus_client's own: the same page from the same recordings."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from worker.telemetry import names
from worker.telemetry.instruments import Instruments


@given(st.lists(st.one_of(st.floats(0, 200), st.sampled_from(names.PROCESS_DURATION.buckets))))
def test_a_histogram_is_written_as_prometheus_client_writes_it(values):
    registry, theirs = CollectorRegistry(), CollectorRegistry()
    ours = Instruments(registry).histogram(names.PROCESS_DURATION)
    metric = names.PROCESS_DURATION
    reference = Histogram(metric.base, metric.description, registry=theirs, buckets=metric.buckets)
    for value in values:
        ours.observe(value)
        reference.observe(value)
    wanted = {
        line for line in generate_latest(theirs).decode().splitlines() if "_created" not in line
    }
    assert wanted <= set(generate_latest(registry).decode().splitlines())


def test_what_is_replaced_is_gone():
    registry = CollectorRegistry()
    instruments = Instruments(registry)
    instruments.replace(names.LAG_RECORDS, {("a", "0"): 1.0, ("b", "1"): 2.0})
    instruments.replace(names.LAG_RECORDS, {("a", "0"): 3.0})
    page = generate_latest(registry).decode()
    assert 'guardstream_lag_records{partition="0",topic="a"} 3.0' in page
    assert 'topic="b"' not in page


def test_a_value_that_is_hard_to_write_forges_no_line():
    registry = CollectorRegistry()
    instruments = Instruments(registry)
    instruments.counter(names.CONSUMED, 'x"} 1\nforged 2').add()
    assert "\nforged" not in generate_latest(registry).decode()
