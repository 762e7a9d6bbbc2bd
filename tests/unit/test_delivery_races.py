"""What only an unlucky order of events brings about: each once stalled a worker for good."""

import asyncio

import pytest

from tests.unit.house import INPUT, House
from worker.adapters.memory import MemoryBus
from worker.batching import BatchPolicy, MicroBatcher
from worker.errors import Retriable
from worker.poison import Mark
from worker.records import CommittedOffset, Partition

OTHER = Partition("events", 1)


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_partition_that_was_paused_is_bounded_after_it_is_taken_over_again():
    house = House(
        "exactly_once",
        queued_records_per_partition=50,
        unsettled_records_per_partition=400,
        drain_seconds=0.05,
    )
    house.source.max_records = 50
    house.send(20_000)
    most = 0
    async with house.running():
        await house.until(lambda: len(house.judged()) > 20)
        house.hold()
        await house.until(lambda: house.engine.running >= 4)
        await turns(300)
        house.transactions.fail_next = 1
        lane = house.delivery._lanes[INPUT]
        lane.marks = True
        lane.flush()
        for _ in range(2000):
            await asyncio.sleep(0)
            most = max(most, len(house.pipeline._intake))
    assert most <= 200


@pytest.mark.parametrize("lost", [True, False])
async def test_outcomes_are_published_after_a_rebalance_that_met_a_hanging_call(lost):
    house = House("at_least_once", drain_seconds=0.05)
    house.send(200)
    publish, healthy, calls = house.publisher.publish, asyncio.Event(), 0

    async def hang(records):
        nonlocal calls
        calls += 1
        if not healthy.is_set():
            if calls == 1:
                await turns(300)
                raise Retriable("The bus refuses.")
            await healthy.wait()
        return await publish(records)

    house.publisher.publish = hang
    async with house.running():
        await house.until(lambda: calls >= 2)
        await turns(300)
        await house.source.revoke([INPUT], lost=lost)
        healthy.set()
        await house.source.assign([INPUT])
        await house.until(lambda: house.bus.committed.get(INPUT) == 200)


async def test_a_flow_that_was_cancelled_before_its_first_step_begins_again():
    house = House("at_least_once", drain_seconds=0.05)
    house.send(1)
    async with house.running():
        await house.until(lambda: house.bus.committed.get(INPUT) == 1)
        house.hold()
        house.send(4, start=1)
        await house.until(lambda: house.engine.running >= 4)
        deliver = house.delivery.deliver

        async def deliver_and_lose(outcomes):
            house.delivery.deliver = deliver
            await deliver(outcomes)
            await house.source.revoke([INPUT], lost=True)

        house.delivery.deliver = deliver_and_lose
        house.release()
        await house.until(lambda: house.delivery.deliver is deliver)
        await house.idle()
        await house.source.assign([INPUT])
        await house.until(lambda: house.bus.committed.get(INPUT) == 5)


async def test_a_worker_that_is_stopping_takes_nothing_over():
    house = House("exactly_once", bus=MemoryBus(partitions=2))
    opened = house.transactions.open

    async def open_one_that_closes_slowly(transactional_id):
        transactor = await opened(transactional_id)
        transactor.close = lambda: turns(200)
        return transactor

    house.transactions.open = open_one_that_closes_slowly
    house.source.topics = ()
    running = asyncio.create_task(house.pipeline.run())
    await house.idle()
    await house.source.assign([INPUT])
    await house.idle()
    revoked, ending = house.delivery.revoked, asyncio.Event()

    async def revoke_and_say(partitions):
        ending.set()
        await revoked(partitions)

    house.delivery.revoked = revoke_and_say
    house.pipeline.stop()
    await ending.wait()
    await asyncio.sleep(0)
    await house.source.assign([OTHER])
    async with asyncio.timeout(10):
        await running


async def test_the_backoff_of_failed_transactions_grows():
    """An idle flush between two attempts proves nothing."""
    house = House("exactly_once")
    house.send(100)
    failures, pause, opened, down = [], house.delivery._pause_after, house.transactions.open, True

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

    house.delivery._pause_after, house.transactions.open = pause_and_note, open_one_that_fails
    async with house.running():
        await house.until(lambda: len(failures) >= 20)
        assert failures[:20] == list(range(1, 21))
        down = False
        await house.until(lambda: house.bus.committed.get(INPUT) == 100)


async def test_suspects_whose_marks_cannot_be_written_do_not_hold_up_the_others():
    bus = MemoryBus(partitions=2)
    house = House("at_least_once", bus=bus)
    house.pipeline._batcher = MicroBatcher(BatchPolicy(2, 1000, 0.01))
    for _ in range(4):
        bus.append("events", value=b'{"prompt": "hello"}')
    bus.commit({INPUT: CommittedOffset(0, Mark(2, 4, 4).encode())})
    commit, attempts = house.source.commit, 0

    async def refuse_suspicion(offsets):
        nonlocal attempts
        if INPUT in offsets and Mark.decode(offsets[INPUT].metadata).working:
            attempts += 1
            await asyncio.sleep(0.001)
            raise Retriable("No answer came.")
        await commit(offsets)

    house.source.commit = refuse_suspicion
    async with house.running():
        await house.until(lambda: attempts > 5)
        bus.append("events", value=b'{"prompt": "hello"}', partition=1)
        await house.until(lambda: len(house.judged()) == 1)
        house.source.commit = commit
        await house.until(lambda: bus.committed.get(INPUT) == 4)
