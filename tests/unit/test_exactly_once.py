"""When a partition's transaction begins. What is in it: test_pipeline.py, test_interleavings.py."""

import asyncio
import math

import pytest

from tests.unit.clocks import QuickClock
from tests.unit.harness import INPUT
from worker.adapters.memory import MemoryBus, MemorySource, MemoryTransactions, MemoryTransactor
from worker.delivery.exactly_once import ExactlyOnce
from worker.delivery.transaction_pace import Pace, TransactionPolicy
from worker.domain.outcomes import Outcome
from worker.domain.records import OutgoingRecord
from worker.telemetry import Telemetry

POLICY = TransactionPolicy(interval_seconds=0.2, per_second=50.0)


def test_a_partition_that_has_been_quiet_does_not_wait():
    pace = Pace(POLICY)
    assert pace.wait_seconds(100.0, -math.inf) == 0.0
    assert pace.wait_seconds(200.0, 100.0) == 0.0


def test_a_busy_partition_waits_as_long_as_the_interval_says():
    pace = Pace(POLICY)
    waits = [pace.wait_seconds(100.0, 100.0) for _ in range(10)]
    assert waits == pytest.approx([0.2] * 10)
    assert pace.wait_seconds(101.0, 100.9) == pytest.approx(0.1)


def test_many_partitions_take_turns():
    pace = Pace(POLICY)
    waits = [pace.wait_seconds(100.0, -math.inf) for _ in range(64)]
    assert waits == pytest.approx([n / 50 for n in range(64)])


def test_turns_that_are_past_are_not_waited_for():
    pace = Pace(POLICY)
    for _ in range(64):
        pace.wait_seconds(100.0, -math.inf)
    assert pace.wait_seconds(102.0, -math.inf) == 0.0


class BusyTransactions(MemoryTransactions):
    """During each commit one more outcome arrives."""

    def __init__(self, bus):
        super().__init__(bus)
        self.sizes = []

    async def open(self, transactional_id):
        await super().open(transactional_id)
        return BusyTransactor(self, transactional_id)


class BusyTransactor(MemoryTransactor):
    async def commit(self, records, offsets):
        if not records:  # the mark of a new owner
            await super().commit(records, offsets)
            return
        self._transactions.sizes.append(len(records))
        await self._transactions.arrive()
        await super().commit(records, offsets)


async def test_what_is_judged_during_a_commit_waits_for_more(record):
    clock = QuickClock()
    bus = MemoryBus()
    source = MemorySource(bus, [INPUT.topic])
    await source.assign([INPUT])
    transactions = BusyTransactions(bus)
    delivery = ExactlyOnce(
        source=source,
        transactions=transactions,
        clock=clock,
        telemetry=Telemetry(clock),
        group_id="group",
        policy=TransactionPolicy(2, interval_seconds=3600.0),
    )

    async with asyncio.TaskGroup() as group:
        delivery.serve(group)
        delivery.assigned([INPUT])
        while (epoch := delivery.epoch(INPUT)) is None:
            await asyncio.sleep(0)
        records = [record(partition=INPUT, epoch=epoch, offset=n) for n in range(9)]
        assert all(delivery.received(one) for one in records)
        verdict = OutgoingRecord("verdicts", None, b"{}", ())
        coming = (Outcome(one, "verdict", (verdict,)) for one in records)

        async def arrive():
            await delivery.deliver([next(coming)])

        transactions.arrive = arrive
        await arrive()
        while bus.committed.get(INPUT, 0) < 1:
            await asyncio.sleep(0)
        assert transactions.sizes == [1], "the first has nothing to wait for"
        # the second completes two, which is as many as a transaction takes
        await arrive()
        while bus.committed[INPUT] < 3:
            await asyncio.sleep(0)
        assert transactions.sizes == [1, 2]
        await delivery.settle()
        await delivery.stop()
    assert transactions.sizes == [1, 2, 1]
