import asyncio

from worker.delivery import base as delivery


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same(monkeypatch):
    monkeypatch.setattr(delivery, "_CANCEL_AGAIN_SECONDS", 0.01)
    swallowed = 0

    async def stubborn():
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                # as wait_for does up to Python 3.11, when the answer comes with it
                swallowed += 1
                if swallowed == 3:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await delivery.end([task])
    assert task.cancelled()
    assert swallowed == 3


async def test_a_task_that_is_being_cancelled_closes_what_it_holds():
    closed = []

    async def hold():
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
            closed.append(True)

    task = asyncio.create_task(hold())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    await delivery.end([task])
    assert closed
