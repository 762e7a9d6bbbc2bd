"""How the engine's time is counted, and what is reported of the lag."""

import asyncio
from types import SimpleNamespace

import pytest
from prometheus_client import generate_latest

from tests.unit.clocks import SteppedClock
from worker.domain.errors import Retriable
from worker.domain.records import Partition
from worker.flow.admission import Admission, AdmissionPolicy
from worker.flow.load_monitor import LoadMonitor
from worker.flow.ownership import Ownership
from worker.telemetry import Telemetry

HELD = Partition("events", 0)


class Ends:
    def __init__(self):
        self.end = 50
        self.hidden = 0
        self.failing = False

    async def ends(self, partitions):
        if self.failing:
            raise Retriable("not now")
        return dict.fromkeys(partitions, self.end)

    def unstable(self, partitions):
        return dict.fromkeys(partitions, self.hidden)


class Settling:
    settled = 0

    def epoch(self, _):
        return 7

    def committed(self, _):
        return 20

    def backlog(self, _):
        return 3, 0


@pytest.fixture
async def measured():
    clock = SteppedClock()
    telemetry = Telemetry(clock)
    source, delivery = Ends(), Settling()
    ownership = Ownership(delivery)
    ownership.add([HELD])
    admission = Admission(
        AdmissionPolicy(8),
        delivery=delivery,
        ownership=ownership,
        clock=clock,
        max_num_seqs=lambda: 4,
    )
    monitor = LoadMonitor(
        source=source,
        delivery=delivery,
        telemetry=telemetry,
        clock=clock,
        ownership=ownership,
        admission=admission,
        devices=1,
        stuck_seconds=290.0,
    )

    def page():
        lines = generate_latest(telemetry.registry).decode().splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))

    running = asyncio.create_task(monitor.run())
    yield SimpleNamespace(
        clock=clock,
        source=source,
        delivery=delivery,
        admission=admission,
        monitor=monitor,
        page=page,
    )
    running.cancel()


async def test_only_time_with_prompts_at_the_engine_is_busy(measured, record):
    clock, admission, one = measured.clock, measured.admission, record()
    await clock.pass_by(1.0)
    for _ in range(2):
        admission.take(one)
        admission.acquire(one)
    clock.time += 2.0
    admission.returned(one)
    clock.time += 3.0
    admission.returned(one)
    clock.time += 100.0
    await clock.pass_by(1.0)
    assert measured.page()["guardstream_engine_busy_seconds_total"] == "5.0"


async def test_a_late_heartbeat_is_reported(measured):
    await measured.clock.pass_by(1.75)
    assert measured.page()["guardstream_loop_lag_seconds"] == "0.75"


async def test_lag_is_what_lies_behind_the_committed_offset(measured, record):
    clock, source, admission, one = measured.clock, measured.source, measured.admission, record()
    await clock.pass_by(1.0)
    found = measured.page()
    assert found['guardstream_lag_records{partition="0",topic="events"}'] == "30.0"
    assert found['guardstream_unsettled_records{partition="0",topic="events"}'] == "3.0"
    assert found['guardstream_partition_epoch{partition="0",topic="events"}'] == "7.0"
    # nothing was judged yet, so the rate is not known
    assert found["guardstream_lag_time_seconds"] == "+Inf"
    for _ in range(4):
        admission.take(one)
        admission.acquire(one)
    clock.time += 10.0
    for _ in range(4):
        admission.returned(one)
    measured.delivery.settled = 4
    for _ in range(5):
        await clock.pass_by(1.0)
    found = measured.page()
    assert float(found["guardstream_lag_time_seconds"]) == pytest.approx(30 / 0.4)
    assert float(found["guardstream_backlog_gpu_seconds"]) == pytest.approx(30 * 2.5)
    # brokers that do not answer leave it as it was
    source.failing, source.end = True, 1000
    for _ in range(5):
        await clock.pass_by(1.0)
    now = measured.page()
    assert now == found | {key: now[key] for key in ("guardstream_loop_lag_seconds",)}


async def test_a_partition_that_stands_still_is_trouble(measured):
    for _ in range(5):
        await measured.clock.pass_by(59.0)
    assert measured.monitor.trouble() is None
    for _ in range(5):
        await measured.clock.pass_by(59.0)
    assert measured.monitor.trouble() == "events/0 has not moved for 295 s with 30 records of lag."


async def test_records_behind_an_open_transaction_are_shown_and_logged_once(measured, caplog):
    measured.source.hidden, measured.source.end = 6, 20
    for _ in range(20):
        await measured.clock.pass_by(59.0)
    found = measured.page()
    assert found['guardstream_lag_unstable{partition="0",topic="events"}'] == "6.0"
    assert found['guardstream_lag_records{partition="0",topic="events"}'] == "0.0"
    assert caplog.text.count("6 records of events/0 wait behind a producer transaction") == 1
    assert measured.monitor.trouble() is None
