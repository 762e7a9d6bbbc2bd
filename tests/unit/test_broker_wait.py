"""Waiting for brokers at the start of a worker."""

import asyncio

import pytest

from tests.unit.clocks import ManualClock
from worker.domain.errors import BusUnavailable, BusUnreachable
from worker.runtime.broker_wait import wait_for_brokers


class Brokers:
    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = asyncio.Event()

    async def __call__(self):
        self.asked.set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer


AWAY = BusUnreachable("Kafka at kafka:9092 cannot be reached: nobody listens.")


async def wait(brokers, *, stopping=None, timeout_seconds=None):
    reports = []
    reached = await wait_for_brokers(
        brokers,
        stopping=stopping or asyncio.Event(),
        timeout_seconds=timeout_seconds,
        report=reports.append,
        clock=ManualClock(),
    )
    return reached, reports


async def test_brokers_that_answer_are_not_waited_for(caplog):
    assert await wait(Brokers(None)) == (True, [None])
    assert not caplog.text


async def test_it_goes_on_when_they_answer_and_says_why_it_waits(caplog):
    reached, reports = await wait(Brokers(*[AWAY] * 40, None))
    assert reached
    assert set(reports[:-1]) == {str(AWAY)}
    assert reports[-1] is None
    # 80 s: at once, and every half minute
    assert caplog.text.count(str(AWAY)) == 3


async def test_the_wait_has_an_end_if_the_settings_give_it_one():
    with pytest.raises(BusUnreachable):
        await wait(Brokers(AWAY), timeout_seconds=60.0)


async def test_brokers_that_refuse_are_not_waited_for():
    with pytest.raises(BusUnavailable, match="refuses"):
        await wait(Brokers(AWAY, BusUnavailable("refuses us")))


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_stop_ends_the_wait_at_once(hangs):
    stopping = asyncio.Event()

    class Silent(Brokers):
        async def __call__(self):
            self.asked.set()
            if hangs:
                await asyncio.Event().wait()
            await super().__call__()

    brokers = Silent(AWAY)
    waiting = asyncio.create_task(wait(brokers, stopping=stopping))
    await brokers.asked.wait()
    stopping.set()
    async with asyncio.timeout(5):
        assert (await waiting)[0] is False
