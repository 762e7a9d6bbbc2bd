"""Who may be at the engine together."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.quarantine import Quarantine, Ward, ward_after


@pytest.mark.parametrize(
    ("deaths", "ward"),
    [(0, Ward.OPEN), (1, Ward.OPEN), (2, Ward.GROUP), (3, Ward.ALONE), (9, Ward.ALONE)],
)
def test_the_more_deaths_the_fewer_neighbours(deaths, ward):
    assert ward_after(deaths) is ward


@given(st.lists(st.tuples(st.sampled_from(Ward), st.integers(0, 3)), min_size=1, max_size=60))
def test_wards_never_mix_and_everybody_comes_in(prompts):
    inside: list[Ward] = []
    seen = 0

    async def stay(quarantine, ward, turns):
        nonlocal seen
        await quarantine.enter(ward)
        inside.append(ward)
        assert set(inside) == {ward}
        assert len(inside) <= {Ward.OPEN: 1000, Ward.GROUP: 16, Ward.ALONE: 1}[ward]
        for _ in range(turns):
            await asyncio.sleep(0)
        inside.remove(ward)
        quarantine.leave(ward)
        seen += 1

    async def all_stay():
        quarantine = Quarantine()
        async with asyncio.timeout(5):
            await asyncio.gather(*(stay(quarantine, ward, turns) for ward, turns in prompts))

    asyncio.run(all_stay())
    assert seen == len(prompts)


async def test_whoever_gives_up_waiting_holds_nobody_up():
    quarantine = Quarantine()
    await quarantine.enter(Ward.OPEN)
    waiting = asyncio.create_task(quarantine.enter(Ward.ALONE))
    await asyncio.sleep(0)
    late = asyncio.create_task(quarantine.enter(Ward.OPEN))
    await asyncio.sleep(0)
    assert not late.done()
    waiting.cancel()
    async with asyncio.timeout(1):
        await late


async def test_the_most_suspect_goes_first():
    quarantine = Quarantine()
    await quarantine.enter(Ward.GROUP)
    alone = asyncio.create_task(quarantine.enter(Ward.ALONE))
    await asyncio.sleep(0)
    late = asyncio.create_task(quarantine.enter(Ward.GROUP))
    await asyncio.sleep(0)
    assert not late.done()
    quarantine.leave(Ward.GROUP)
    await alone
    assert not late.done()
    quarantine.leave(Ward.ALONE)
    async with asyncio.timeout(1):
        await late
