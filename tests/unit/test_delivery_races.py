"""What only an unlucky order of events brings about: each once stalled a worker for good."""

import asyncio

import pytest

from tests.unit.clocks import turns
from tests.unit.harness import INPUT, WorkerHarness
from worker.adapters.memory import MemoryBus
from worker.domain.errors import Retriable
from worker.domain.poison import PoisonMark
from worker.domain.records import CommittedOffset, Partition
from worker.flow.batching import BatchPolicy, MicroBatcher

OTHER = Partition("events", 1)


async def test_a_partition_that_was_paused_is_bounded_after_it_is_taken_over_again():
    harness = WorkerHarness(
        "exactly_once",
        records_per_partition=50,
        unsettled_records_per_partition=400,
        drain_seconds=0.05,
    )
    harness.source.max_records = 50
    harness.send(20_000)
    most = 0
    async with harness.running():
        await harness.until(lambda: len(harness.judged()) > 20)
        harness.hold()
        await harness.until(lambda: harness.engine.running >= 4)
        await harness.until(lambda: INPUT in harness.source._paused)
        harness.transactions.fail_next = 1
        buffer = harness.delivery._buffers[INPUT]
        buffer.marks = True
        buffer.flush()
        for _ in range(2000):
            await asyncio.sleep(0)
            most = max(most, len(harness.pipeline._queues))
    assert most <= 200


@pytest.mark.parametrize("lost", [True, False])
async def test_outcomes_are_published_after_a_rebalance_that_met_a_hanging_call(lost):
    harness = WorkerHarness("at_least_once", drain_seconds=0.05)
    harness.send(200)
    publish, healthy, calls = harness.publisher.publish, asyncio.Event(), 0

    async def hang(records):
        nonlocal calls
        calls += 1
        if not healthy.is_set():
            if calls == 1:
                await turns(300)
                raise Retriable("The bus refuses.")
            await healthy.wait()
        return await publish(records)

    harness.publisher.publish = hang
    async with harness.running():
        await harness.until(lambda: calls >= 2)
        await turns(300)
        await harness.source.revoke([INPUT], lost=lost)
        healthy.set()
        await harness.source.assign([INPUT])
        await harness.until(lambda: harness.bus.committed.get(INPUT) == 200)
    assert len(set(harness.judged())) == 200


async def test_a_flow_that_was_cancelled_before_its_first_step_begins_again():
    harness = WorkerHarness("at_least_once", drain_seconds=0.05)
    harness.send(1)
    async with harness.running():
        await harness.until(lambda: harness.bus.committed.get(INPUT) == 1)
        harness.hold()
        harness.send(4, start=1)
        await harness.until(lambda: harness.engine.running >= 4)
        deliver = harness.delivery.deliver

        async def deliver_and_lose(outcomes):
            harness.delivery.deliver = deliver
            await deliver(outcomes)
            await harness.source.revoke([INPUT], lost=True)

        harness.delivery.deliver = deliver_and_lose
        harness.release()
        await harness.until(lambda: INPUT not in harness.source._positions)
        await harness.source.assign([INPUT])
        await harness.until(lambda: harness.bus.committed.get(INPUT) == 5)
    assert len(set(harness.judged())) == 5


async def test_a_worker_that_is_stopping_takes_nothing_over():
    harness = WorkerHarness("exactly_once", bus=MemoryBus(partitions=2))
    opened = harness.transactions.open

    async def open_one_that_closes_slowly(transactional_id):
        transactor = await opened(transactional_id)
        transactor.close = lambda: turns(200)
        return transactor

    harness.transactions.open = open_one_that_closes_slowly
    harness.source.topics = ()
    running = asyncio.create_task(harness.pipeline.run())
    await harness.until(lambda: harness.source._listener is not None)
    await harness.source.assign([INPUT])
    await harness.until(lambda: harness.delivery.epoch(INPUT) is not None)
    revoked, ending = harness.delivery.revoked, asyncio.Event()

    async def revoke_and_say(partitions):
        ending.set()
        await revoked(partitions)

    harness.delivery.revoked = revoke_and_say
    harness.pipeline.stop()
    await ending.wait()
    await asyncio.sleep(0)
    await harness.source.assign([OTHER])
    async with asyncio.timeout(10):
        await running
    assert OTHER not in harness.delivery._buffers


async def test_the_backoff_of_failed_transactions_grows():
    """An idle flush between two attempts proves nothing."""
    harness = WorkerHarness("exactly_once")
    harness.send(100)
    failures, pause, opened, down = (
        [],
        harness.delivery._pause_after,
        harness.transactions.open,
        True,
    )

    async def pause_and_note(count):
        failures.append(count)
        await pause(count)

    async def open_one_that_fails(transactional_id):
        transactor = await opened(transactional_id)
        commit = transactor.commit

        async def commit_or_fail(records, offsets):
            if records and down:
                raise Retriable("The output topic is not available.")
            await commit(records, offsets)

        transactor.commit = commit_or_fail
        return transactor

    harness.delivery._pause_after, harness.transactions.open = pause_and_note, open_one_that_fails
    async with harness.running():
        await harness.until(lambda: len(failures) >= 20)
        assert failures[:20] == list(range(1, 21))
        down = False
        await harness.until(lambda: harness.bus.committed.get(INPUT) == 100)


async def test_suspects_whose_marks_cannot_be_written_do_not_hold_up_the_others():
    bus = MemoryBus(partitions=2)
    harness = WorkerHarness("at_least_once", bus=bus)
    harness.pipeline._batcher = MicroBatcher(BatchPolicy(2, 1000, 0.01))
    for _ in range(4):
        bus.append("events", value=b'{"prompt": "hello"}')
    bus.commit({INPUT: CommittedOffset(0, PoisonMark(2, 4, 4).encode())})
    commit, attempts = harness.source.commit, 0

    async def refuse_suspicion(offsets):
        nonlocal attempts
        if INPUT in offsets and PoisonMark.decode(offsets[INPUT].metadata).working:
            attempts += 1
            await asyncio.sleep(0)
            raise Retriable("No answer came.")
        await commit(offsets)

    harness.source.commit = refuse_suspicion
    async with harness.running():
        await harness.until(lambda: attempts > 5)
        bus.append("events", value=b'{"prompt": "hello"}', partition=1)
        await harness.until(lambda: len(harness.judged()) == 1)
        harness.source.commit = commit
        await harness.until(lambda: bus.committed.get(INPUT) == 4)
    assert len(harness.judged()) == 5
