"""Who may be at the engine together."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.poison_prompts import Isolation, PoisonPrompts, isolation_after


@pytest.mark.parametrize(
    ("deaths", "isolation"),
    [
        (0, Isolation.OPEN),
        (1, Isolation.OPEN),
        (2, Isolation.GROUP),
        (3, Isolation.ALONE),
        (9, Isolation.ALONE),
    ],
)
def test_the_more_deaths_the_fewer_neighbours(deaths, isolation):
    assert isolation_after(deaths) is isolation


@given(st.lists(st.tuples(st.sampled_from(Isolation), st.integers(0, 3)), min_size=1, max_size=60))
def test_isolations_never_mix_and_all_prompts_enter(prompts):
    inside: list[Isolation] = []
    seen = 0

    async def stay(poison_prompts, isolation, turns):
        nonlocal seen
        await poison_prompts.enter(isolation)
        inside.append(isolation)
        assert set(inside) == {isolation}
        assert (
            len(inside)
            <= {Isolation.OPEN: 1000, Isolation.GROUP: 16, Isolation.ALONE: 1}[isolation]
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        inside.remove(isolation)
        poison_prompts.leave(isolation)
        seen += 1

    async def all_stay():
        poison_prompts = PoisonPrompts()
        async with asyncio.timeout(5):
            await asyncio.gather(
                *(stay(poison_prompts, isolation, turns) for isolation, turns in prompts)
            )

    asyncio.run(all_stay())
    assert seen == len(prompts)


async def test_a_prompt_that_stops_waiting_holds_up_no_other():
    poison_prompts = PoisonPrompts()
    await poison_prompts.enter(Isolation.OPEN)
    waiting = asyncio.create_task(poison_prompts.enter(Isolation.ALONE))
    await asyncio.sleep(0)
    late = asyncio.create_task(poison_prompts.enter(Isolation.OPEN))
    await asyncio.sleep(0)
    assert not late.done()
    waiting.cancel()
    async with asyncio.timeout(1):
        await late


async def test_the_most_suspect_goes_first():
    poison_prompts = PoisonPrompts()
    await poison_prompts.enter(Isolation.GROUP)
    alone = asyncio.create_task(poison_prompts.enter(Isolation.ALONE))
    await asyncio.sleep(0)
    late = asyncio.create_task(poison_prompts.enter(Isolation.GROUP))
    await asyncio.sleep(0)
    assert not late.done()
    poison_prompts.leave(Isolation.GROUP)
    await alone
    assert not late.done()
    poison_prompts.leave(Isolation.ALONE)
    async with asyncio.timeout(1):
        await late
