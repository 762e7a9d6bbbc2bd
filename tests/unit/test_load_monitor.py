"""What is counted of the engine's time, and what is told of the lag."""

import asyncio

import pytest
from prometheus_client import generate_latest

from worker.domain.errors import Retriable
from worker.domain.records import Partition
from worker.flow.load_monitor import LoadMonitor
from worker.telemetry import Telemetry

HELD = Partition("events", 0)


class SteppedClock:
    """Sleeps return when the test says so."""

    def __init__(self):
        self.time = 100.0
        self.sleepers = asyncio.Queue()

    def now(self):
        return self.time

    def monotonic(self):
        return self.time

    async def sleep(self, seconds):
        woken = asyncio.get_running_loop().create_future()
        await self.sleepers.put((seconds, woken))
        await woken

    async def pass_by(self, seconds):
        """Let a heartbeat come after so long."""
        _, woken = await self.sleepers.get()
        self.time += seconds
        woken.set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)


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
    measurement = LoadMonitor(
        source=source,
        delivery=delivery,
        telemetry=telemetry,
        clock=clock,
        held=lambda: {HELD},
        devices=1,
        max_num_seqs=lambda: 4,
        stuck_seconds=290.0,
    )

    def page():
        lines = generate_latest(telemetry.registry).decode().splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))

    running = asyncio.create_task(measurement.run())
    yield clock, source, delivery, measurement, page
    running.cancel()


async def test_only_time_with_prompts_at_the_engine_is_busy(measured):
    clock, _, _, measurement, page = measured
    await clock.pass_by(1.0)
    measurement.entered()
    measurement.entered()
    clock.time += 2.0
    measurement.returned()
    clock.time += 3.0
    measurement.returned()
    clock.time += 100.0
    await clock.pass_by(1.0)
    assert page()["guardstream_engine_busy_seconds_total"] == "5.0"


async def test_a_late_heartbeat_is_told(measured):
    clock, _, _, _, page = measured
    await clock.pass_by(1.75)
    assert page()["guardstream_loop_lag_seconds"] == "0.75"


async def test_lag_is_what_lies_behind_the_committed_offset(measured):
    clock, source, delivery, measurement, page = measured
    await clock.pass_by(1.0)
    found = page()
    assert found['guardstream_lag_records{partition="0",topic="events"}'] == "30.0"
    assert found['guardstream_unsettled_records{partition="0",topic="events"}'] == "3.0"
    assert found['guardstream_partition_epoch{partition="0",topic="events"}'] == "7.0"
    # nothing was judged yet, so nobody knows
    assert found["guardstream_lag_time_seconds"] == "+Inf"
    for _ in range(4):
        measurement.entered()
    clock.time += 10.0
    for _ in range(4):
        measurement.returned()
    delivery.settled = 4
    for _ in range(5):
        await clock.pass_by(1.0)
    found = page()
    assert float(found["guardstream_lag_time_seconds"]) == pytest.approx(30 / 0.4)
    assert float(found["guardstream_backlog_gpu_seconds"]) == pytest.approx(30 * 2.5)
    # brokers that do not answer leave it as it was
    source.failing, source.end = True, 1000
    for _ in range(5):
        await clock.pass_by(1.0)
    assert page() == found | {key: page()[key] for key in ("guardstream_loop_lag_seconds",)}


async def test_a_partition_that_stands_still_is_trouble(measured):
    clock, *_, measurement, _ = measured
    for _ in range(5):
        await clock.pass_by(59.0)
    assert measurement.trouble() is None
    for _ in range(5):
        await clock.pass_by(59.0)
    assert measurement.trouble() == "events/0 has not moved for 295 s with 30 records of lag."


async def test_records_behind_an_open_transaction_are_shown_and_logged_once(measured, caplog):
    clock, source, _, measurement, page = measured
    source.hidden, source.end = 6, 20
    for _ in range(20):
        await clock.pass_by(59.0)
    assert page()['guardstream_lag_unstable{partition="0",topic="events"}'] == "6.0"
    assert page()['guardstream_lag_records{partition="0",topic="events"}'] == "0.0"
    assert caplog.text.count("6 records of events/0 wait behind a producer transaction") == 1
    assert measurement.trouble() is None
