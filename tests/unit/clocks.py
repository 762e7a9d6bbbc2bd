"""Clocks of the unit tests: none of them waits for real time."""

import asyncio


class QuickClock:
    """Sleeps return at once; time is the loop's, and can be moved on.

    Attributes:
        stopped_seconds: as if the process had been stopped for so long.
    """

    def __init__(self):
        self.stopped_seconds = 0.0

    def now(self):
        return 1_764_000_000.0

    def monotonic(self):
        return asyncio.get_running_loop().time() + self.stopped_seconds

    async def sleep(self, seconds):  # noqa: ARG002 - it returns at once
        await asyncio.sleep(0)


class ManualClock:
    """Time moves by its sleeps, which return at once, and where a test sets it."""

    def __init__(self, time=0.0):
        self.time = time

    def now(self):
        return self.time

    def monotonic(self):
        return self.time

    async def sleep(self, seconds):
        self.time += seconds
        await asyncio.sleep(0)


class SteppedClock(ManualClock):
    """Sleeps return when the test says so."""

    def __init__(self):
        super().__init__(100.0)
        self.sleepers = asyncio.Queue()

    async def sleep(self, seconds):
        woken = asyncio.get_running_loop().create_future()
        await self.sleepers.put((seconds, woken))
        await woken

    async def pass_by(self, seconds):
        """Let the next sleep return after so long."""
        _, woken = await self.sleepers.get()
        self.time += seconds
        woken.set_result(None)
        await turns(5)


async def turns(count):
    """Give every other task of the loop so many turns, where nothing must happen meanwhile."""
    for _ in range(count):
        await asyncio.sleep(0)
